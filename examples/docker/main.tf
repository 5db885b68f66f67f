# One delegate in a container: on this machine's engine, or on another one by TCP with TLS or by ssh.
#
# With image = null an image is made of the program beside the provider, and no registry takes part. The token is a file in
# the container, which `docker inspect` does not show. With the official image it is a variable of the container, because
# that image reads nothing else.

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

  docker = {
    host = var.docker_host # for example "ssh://admin@build-1"
  }
}

resource "harness_delegate" "this" {
  name             = var.name
  tags             = ["docker"]
  image            = var.image
  token_wo         = var.delegate_token
  token_wo_version = 1

  docker = {
    cpus         = 1
    memory       = "2g"
    read_only    = true
    init         = true
    capabilities = { drop = ["ALL"] }
    extra_hosts  = ["host.docker.internal:host-gateway"]
  }
}

output "delegate" {
  description = "Where it is and how it does."
  value = {
    id        = harness_delegate.this.id
    connected = harness_delegate.this.connected
    version   = harness_delegate.this.version
    image     = harness_delegate.this.image_digest
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

variable "docker_host" {
  description = "The engine; that of DOCKER_HOST, or of this machine, when null."
  type        = string
  default     = null
}

variable "image" {
  description = "Image of the delegate; one made of the provider's own program when null."
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the delegate, and of the container."
  type        = string
  default     = "docker"
}
