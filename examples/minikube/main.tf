# One delegate in a minikube cluster, with the provider's own chart. The image is the chart's own; with a locally built
# one, bring it into the cluster first (`minikube image load IMAGE`) and name it.

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
  name             = var.name
  tags             = ["minikube"]
  image            = var.image
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm = {
    namespace = var.namespace
  }
}

output "delegate" {
  description = "Where it is and how it does."
  value = {
    id        = harness_delegate.this.id
    connected = harness_delegate.this.connected
    version   = harness_delegate.this.version
  }
}

variable "manager_url" {
  description = "URL of the manager, as the delegate reaches it."
  type        = string
  default     = "https://app.harness.io"
}

variable "account_id" {
  description = "Account to register with."
  type        = string
}

variable "delegate_token" {
  description = "Delegate token, as the manager shows it."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "kubeconfig" {
  description = "The kubeconfig file that minikube wrote."
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "Its context."
  type        = string
  default     = "minikube"
}

variable "image" {
  description = "Image of the delegate; the chart's own when null."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the delegate, and of the Helm release."
  type        = string
  default     = "minikube"
}

variable "namespace" {
  description = "Namespace of the release; it is made, and goes with the delegate."
  type        = string
  default     = "harness-delegate-ng"
}
