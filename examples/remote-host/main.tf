# A delegate on another machine, as a service there, over ssh: with your own `ssh`, its agent, keys and known hosts. The machine
# needs neither Terraform nor a container engine. Its host key must be known: an unknown or changed one is refused.

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
  name             = var.name
  tags             = ["remote"]
  token_wo         = var.delegate_token
  token_wo_version = 1

  host = {
    # A user who is not root becomes root there, so that systemd looks after the delegate.
    ssh = {
      host          = var.machine
      user          = var.user
      identity_file = var.identity_file
      sudo          = var.user != "root"
    }
  }

  # An update or a removal waits for running tasks this long, and longer for a slow line.
  timeouts = { update = "20m", delete = "20m" }
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
  description = "URL of the manager, as the machine reaches it."
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

variable "machine" {
  description = "Name or address of the machine, or an alias of your ssh configuration."
  type        = string
}

variable "user" {
  description = "User to log in as."
  type        = string
  default     = "root"
}

variable "identity_file" {
  description = "Private key to use; those of your agent and configuration when null."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the delegate."
  type        = string
  default     = "remote"
}
