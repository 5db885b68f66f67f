# One delegate in a cluster without Helm: plain objects, by server-side apply. And the same objects as text, for whoever
# applies them in another way or wants to read them first.

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
  tags             = ["kubernetes"]
  replicas         = var.replicas
  image            = var.image
  token_wo         = var.delegate_token
  token_wo_version = 1

  manifest = {
    namespace = var.namespace
  }
}

data "harness_delegate_manifest" "this" {
  name      = var.name
  tags      = ["kubernetes"]
  replicas  = var.replicas
  image     = var.image
  namespace = var.namespace
}

output "delegate" {
  description = "Where it is and how it does."
  value = {
    id        = harness_delegate.this.id
    connected = harness_delegate.this.connected
    version   = harness_delegate.this.version
  }
}

output "objects" {
  description = "What is applied, without the Secret of the token."
  value       = sort(keys(data.harness_delegate_manifest.this.objects))
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
  description = "A kubeconfig file."
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "Its context; the current one when null."
  type        = string
  default     = null
}

variable "image" {
  description = "Image of the delegate; that of this version when null."
  type        = string
  default     = null
}

variable "replicas" {
  description = "Pods."
  type        = number
  default     = 1
}

variable "name" {
  description = "Name of the delegate, and of its objects."
  type        = string
  default     = "team-a"
}

variable "namespace" {
  description = "Namespace of the objects; it is made, and goes with the delegate."
  type        = string
  default     = "harness-delegate-ng"
}
