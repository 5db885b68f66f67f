# A delegate in a Kubernetes cluster, as a Helm release of the provider's own chart. scripts/quickstart --target kubernetes
# applies it.

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

  kubernetes = {
    config_path    = var.kubeconfig
    config_context = var.context
  }
}

resource "harness_delegate" "this" {
  name  = var.name
  image = var.image
  tags  = ["quickstart", "kubernetes"]

  # Goes into a Secret beside the release, and is in no plan, no state and no release value.
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm = {
    namespace = var.namespace
  }

  # What its tasks may do in the cluster: everything in its own namespace, nothing outside of it.
  permissions = "NAMESPACE_ADMIN"

  # The apply succeeds when the pod is Ready and the delegate in it says that it is connected to its manager.
  wait = { until = "connected", timeout = "3m" }
}
