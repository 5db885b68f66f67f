# Two pods in a cluster. The apply ends when both say that they are connected.
resource "harness_delegate" "cluster" {
  name     = "team-a"
  tags     = ["linux", "prod"]
  replicas = 2

  # Write-only: in no plan, no state and no Helm release. Raise the version to hand over another token.
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm        = { namespace = "harness-delegate-ng" }
  permissions = "NAMESPACE_ADMIN"

  wait = { until = "connected", timeout = "5m" }
}

# A service of this machine.
resource "harness_delegate" "host" {
  name             = "team-a-host"
  token_wo         = var.delegate_token
  token_wo_version = 1

  host = {}
}

variable "delegate_token" {
  description = "Delegate token, as the manager shows it."
  type        = string
  sensitive   = true
  ephemeral   = true
}
