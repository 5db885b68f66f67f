terraform {
  required_providers {
    harness = {
      source = "terraform.local/harness/harness"
    }
  }
}

# Every argument is optional; what delegates and places have in common goes here.
provider "harness" {
  endpoint   = "https://app.harness.io" # or HARNESS_ENDPOINT
  account_id = var.account_id           # or HARNESS_ACCOUNT_ID

  kubernetes = {
    config_path    = "~/.kube/config" # or KUBE_CONFIG_PATH
    config_context = "minikube"       # or KUBE_CTX
  }
}

variable "account_id" {
  description = "Account to register delegates with."
  type        = string
}
