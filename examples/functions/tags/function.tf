variable "labels" {
  type    = map(string)
  default = { team = "a", gpu = "" }
}

# ["gpu", "linux", "prod", "team:a"]
output "tags" {
  value = provider::harness::tags("linux, prod", ["linux"], var.labels)
}
