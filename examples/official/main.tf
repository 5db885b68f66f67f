# The official image and the official chart, unchanged. The token still enters neither Terraform's state nor Helm's.

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
    config_path = "~/.kube/config"
  }
}

resource "harness_delegate" "this" {
  name             = "official"
  image            = var.image
  token_wo         = var.delegate_token
  token_wo_version = 1

  helm = {
    chart = {
      repository = "https://app.harness.io/storage/harness-download/delegate-helm-chart/"
      name       = "harness-delegate-ng"
      version    = var.chart_version
    }

    # As with `helm --values`: every value of the chart can be given.
    values = [yamlencode({
      cpu      = 1
      memory   = 2048
      javaOpts = "-Xms64M"
    })]
  }

  # It starts slower than the native one: up to 400 s by the chart's own probe.
  wait = { until = "connected", timeout = "10m" }
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

variable "image" {
  description = "The official image, with a version."
  type        = string
  default     = "harness/delegate:26.02.88404"
}

variable "chart_version" {
  description = "Version of the official chart."
  type        = string
  default     = "1.0.32"
}
