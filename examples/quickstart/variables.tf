variable "manager_url" {
  description = "URL of the manager, as the delegate reaches it."
  type        = string
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

variable "name" {
  description = "Name of the delegate."
  type        = string
  default     = "quickstart-host"
}

variable "directory" {
  description = "Folder of the installation; the provider's default when null."
  type        = string
  default     = null
}
