# A delegate on this machine. scripts/quickstart applies it; it works by hand too, once the provider is where Terraform
# finds it.

terraform {
  required_version = ">= 1.11" # for write-only arguments

  required_providers {
    harness = {
      source = "terraform.local/harness/harness"
    }
  }
}

provider "harness" {
  endpoint   = var.manager_url
  account_id = var.account_id
}

resource "harness_delegate" "this" {
  name = var.name
  tags = ["quickstart", "host"]

  # Write-only: the token is in no plan and no state. Raise the version to hand over another one.
  token_wo         = var.delegate_token
  token_wo_version = 1

  host = {
    directory = var.directory
  }

  # The apply succeeds when the delegate itself says that it is connected to its manager.
  wait = { until = "connected", timeout = "1m" }
}
