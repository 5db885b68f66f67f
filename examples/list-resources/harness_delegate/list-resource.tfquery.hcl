# terraform query -generate-config-out=found.tf
list "harness_delegate" "cluster" {
  provider = harness

  config {
    mode = "helm"
  }
}

list "harness_delegate" "containers" {
  provider = harness

  config {
    mode   = "docker"
    docker = { host = "ssh://deploy@build.example" }
  }
}

list "harness_delegate" "machine" {
  provider = harness

  config {
    mode = "host"
    ssh  = { host = "build.example", user = "deploy", sudo = true }
  }
}
