# A delegate in a cluster that somebody else runs: with the token of a service account, into a namespace that exists, and
# with no right outside of it. No kubeconfig is read.
#
# What the service account needs: everything in that namespace, because the delegate is given the same there; and `get` on
# the namespace `kube-system`, by whose uid the cluster is recognized.

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
    host                   = var.cluster_host
    token                  = var.cluster_token
    cluster_ca_certificate = var.cluster_ca_certificate
    tls_server_name        = var.cluster_tls_server_name
  }
}

resource "harness_delegate" "this" {
  name             = var.name
  image            = var.image
  replicas         = var.replicas
  permissions      = "NAMESPACE_ADMIN"
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm = {
    namespace        = var.namespace
    create_namespace = false
  }

  resources = {
    requests = { cpu = "100m", memory = "128Mi" }
    limits   = { memory = "512Mi" }
  }
}

output "delegate" {
  description = "Where it is and how it does."
  value = {
    id             = harness_delegate.this.id
    ready_replicas = harness_delegate.this.ready_replicas
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

variable "cluster_host" {
  description = "Address of the API server, for example https://203.0.113.7:6443."
  type        = string
}

variable "cluster_token" {
  description = "Token of the service account, for example of `kubectl create token`."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "cluster_ca_certificate" {
  description = "PEM of the authority of the API server."
  type        = string
}

variable "cluster_tls_server_name" {
  description = "Name in the API server's certificate, when it is not that of the address."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the release. It exists."
  type        = string
}

variable "name" {
  description = "Name of the delegate, and of the Helm release."
  type        = string
  default     = "team-a"
}

variable "replicas" {
  description = "Pods."
  type        = number
  default     = 1
}

variable "image" {
  description = "Image of the delegate; the chart's own when null."
  type        = string
  default     = null
}
