# --- as the official module has them --------------------------------------------------------------------------------

variable "account_id" {
  description = "Account to register with."
  type        = string
}

variable "delegate_token" {
  description = "Delegate token. Another one is handed over by the next apply."
  type        = string
  sensitive   = true
}

variable "delegate_name" {
  description = "Name of the delegate, and of the Helm release."
  type        = string
}

variable "manager_endpoint" {
  description = "URL of the manager."
  type        = string
}

variable "helm_repository" {
  description = "Repository of the official chart. Empty: the chart that the provider brings."
  type        = string
  default     = "https://app.harness.io/storage/harness-download/delegate-helm-chart/"
}

variable "namespace" {
  description = "Namespace of the release."
  type        = string
  default     = "harness-delegate-ng"
}

variable "create_namespace" {
  description = "Whether to make the namespace when it is missing."
  type        = bool
  default     = true
}

variable "delegate_image" {
  description = "Image of the delegate. Empty: the chart's own."
  type        = string
  default     = ""
}

variable "replicas" {
  description = "Pods."
  type        = number
  default     = 1
}

variable "upgrader_enabled" {
  description = "Whether the chart's upgrader replaces the image by itself. What it changes is shown as drift, so `false` where Terraform shall decide."
  type        = bool
  default     = true
}

variable "deploy_mode" {
  description = "Deploy mode of the chart."
  type        = string
  default     = "KUBERNETES"
}

variable "next_gen" {
  description = "Whether the account is a NextGen one."
  type        = bool
  default     = true
}

variable "init_script" {
  description = "Shell script run before the delegate starts."
  type        = string
  default     = ""
}

variable "mtls_secret_name" {
  description = "Secret with the client certificate towards the manager."
  type        = string
  default     = ""
}

variable "proxy_host" {
  description = "Host of the proxy towards the manager. Empty: none."
  type        = string
  default     = ""
}

variable "proxy_port" {
  description = "Port of the proxy."
  type        = string
  default     = ""

  validation {
    condition     = var.proxy_port == "" || can(tonumber(var.proxy_port))
    error_message = "proxy_port must be a number, for example \"3128\"."
  }

  validation {
    condition     = var.proxy_host == "" || var.proxy_port != ""
    error_message = "proxy_host needs proxy_port, for example \"3128\"."
  }
}

variable "proxy_scheme" {
  description = "How the proxy is spoken to: http or https."
  type        = string
  default     = ""
}

variable "proxy_user" {
  description = "User at the proxy, in base64, as the official chart wants it."
  type        = string
  default     = ""

  validation {
    condition     = can(base64decode(var.proxy_user))
    error_message = "proxy_user must be base64, as the official chart wants it: base64encode(\"…\")."
  }
}

variable "proxy_password" {
  description = "Password at the proxy, in base64, as the official chart wants it. It is in no state."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = can(base64decode(var.proxy_password))
    error_message = "proxy_password must be base64, as the official chart wants it: base64encode(\"…\")."
  }
}

variable "no_proxy" {
  description = "Domain suffixes that are reached without the proxy, with commas between them."
  type        = string
  default     = ""
}

variable "values" {
  description = "A YAML document with further values of the chart, laid over those of the other inputs."
  type        = string
  default     = ""

  validation {
    condition     = trimspace(var.values) == "" || can(keys(yamldecode(var.values)))
    error_message = "values must be one YAML mapping, for example yamlencode({ memory = 4096 })."
  }
}

# --- added: none of them is needed ----------------------------------------------------------------------------------

variable "chart_version" {
  description = "Version of the chart in helm_repository; the newest when null."
  type        = string
  default     = null
}

variable "wait" {
  description = "How far an apply waits."
  type = object({
    until   = optional(string, "connected")
    timeout = optional(string, "10m")
  })
  default = {}
}
