import {
  to = harness_delegate.cluster

  identity = {
    mode      = "helm"
    place     = "minikube"
    namespace = "harness-delegate-ng"
    name      = "team-a"
  }
}
