variable "manager_url" {
  description = "URL of the manager, as a pod reaches it."
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

variable "kubeconfig" {
  description = "The kubeconfig file of the cluster."
  type        = string
}

variable "context" {
  description = "Context in it; the current one when null."
  type        = string
  default     = null
}

variable "image" {
  description = "Image of the delegate, as the cluster's nodes know it."
  type        = string
}

variable "name" {
  description = "Name of the delegate, and of the Helm release."
  type        = string
  default     = "quickstart-kubernetes"
}

variable "namespace" {
  description = "Namespace of the release; it is made, and goes with the delegate."
  type        = string
  default     = "harness-delegate-quickstart"
}
