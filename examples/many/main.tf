# Many delegates from one table: a team a row, each with tags, settings and a folder of its own, all of them services of
# this machine. The same works in a cluster, with `helm` in place of `host`.

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

resource "harness_delegate" "team" {
  for_each = var.teams

  name             = "${var.prefix}${each.key}"
  description      = each.value.description
  tags             = each.value.tags
  env              = each.value.env
  token_wo         = var.delegate_token
  token_wo_version = 1

  host = {
    directory = var.directory == null ? null : "${var.directory}/${each.key}"
    service   = var.service
  }
}

output "connected" {
  description = "Whether each is connected, by team."
  value       = { for team, delegate in harness_delegate.team : team => delegate.connected }
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

variable "teams" {
  description = "The delegates, by team."
  type = map(object({
    description = optional(string)
    tags        = optional(set(string), [])
    env         = optional(map(string), {})
  }))
  default = {
    apps = { description = "Deploys applications", tags = ["deploy"] }
    data = { tags = ["batch"], env = { DELEGATE_TASK_CAPACITY = "2" } }
    web  = {}
  }
}

variable "prefix" {
  description = "Begins every name."
  type        = string
  default     = "team-"
}

variable "directory" {
  description = "Folder that holds the installations; the provider's default when null."
  type        = string
  default     = null
}

variable "service" {
  description = "What keeps them running: systemd, process, or auto."
  type        = string
  default     = "auto"
}
