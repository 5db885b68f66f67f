# The objects of a delegate as a file, for a repository that a cluster follows. There is no token in it: the Secret
# `team-a-delegate-token` is made in the cluster by other means.
data "harness_delegate_manifest" "team_a" {
  name      = "team-a"
  namespace = "delegates"
  replicas  = 2
  tags      = ["linux", "prod"]
}

output "yaml" {
  value = data.harness_delegate_manifest.team_a.yaml
}

output "secret" {
  description = "The Secret that must be there, with the key DELEGATE_TOKEN."
  value       = data.harness_delegate_manifest.team_a.secret_name
}
