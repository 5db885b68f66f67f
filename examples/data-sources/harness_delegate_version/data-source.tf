data "harness_delegate_version" "newest" {}

resource "harness_delegate" "this" {
  name             = "team-a"
  image            = "registry.example.com/harness/delegate:${data.harness_delegate_version.newest.latest}"
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm = {}
}

variable "delegate_token" {
  description = "Delegate token, as the manager shows it."
  type        = string
  sensitive   = true
  ephemeral   = true
}
