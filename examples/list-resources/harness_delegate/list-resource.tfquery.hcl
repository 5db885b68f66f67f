# terraform query -generate-config-out=found.tf
list "harness_delegate" "cluster" {
  provider = harness

  config {
    mode = "helm"
  }
}
