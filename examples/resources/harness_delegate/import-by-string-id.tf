import {
  to = harness_delegate.cluster
  id = "helm/minikube/harness-delegate-ng/team-a"
}
