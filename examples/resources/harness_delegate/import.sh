# In a cluster: helm/<context>/<namespace>/<release>.
terraform import harness_delegate.cluster helm/minikube/harness-delegate-ng/team-a

# On this machine: host/localhost/<name>.
terraform import harness_delegate.host host/localhost/team-a-host
