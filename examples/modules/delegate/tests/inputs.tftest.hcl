# What each input of the official module becomes. No cluster and no manager: the provider is a mock of its schema.

mock_provider "harness" {}

variables {
  account_id       = "an-account"
  delegate_token   = "00000000000000000000000000000000"
  delegate_name    = "team-a"
  manager_endpoint = "https://app.harness.io/gratis"
}

run "the_four_required_inputs_suffice" {
  assert {
    condition     = harness_delegate.this.name == "team-a" && harness_delegate.this.account_id == "an-account" && harness_delegate.this.manager_url == "https://app.harness.io/gratis"
    error_message = "the required inputs do not reach the delegate"
  }

  assert {
    condition     = harness_delegate.this.helm.namespace == "harness-delegate-ng" && harness_delegate.this.helm.create_namespace && harness_delegate.this.replicas == 1
    error_message = "the defaults are not those of the official module"
  }

  assert {
    condition     = harness_delegate.this.helm.chart.name == "harness-delegate-ng" && harness_delegate.this.helm.chart.repository == "https://app.harness.io/storage/harness-download/delegate-helm-chart/"
    error_message = "the chart is not the official one"
  }

  assert {
    condition     = harness_delegate.this.image == null && harness_delegate.this.init_script == null && harness_delegate.this.mtls == null && harness_delegate.this.proxy == null
    error_message = "an empty input must be an absent argument"
  }

  assert {
    condition     = yamldecode(harness_delegate.this.helm.values[0]) == { deployMode = "KUBERNETES", nextGen = true, upgrader = { enabled = true } }
    error_message = "the chart's values are not those of the official module"
  }
}

run "every_optional_input_reaches_the_delegate" {
  variables {
    create_namespace = false
    delegate_image   = "harness/delegate:1"
    deploy_mode      = "KUBERNETES_ONPREM"
    helm_repository  = "https://charts.example.com/"
    chart_version    = "1.0.32"
    init_script      = "echo hello"
    mtls_secret_name = "client-certificate"
    namespace        = "delegates"
    next_gen         = false
    no_proxy         = ".example.com, localhost"
    proxy_host       = "proxy.example.com"
    proxy_port       = "3128"
    proxy_scheme     = "https"
    proxy_user       = "c29tZWJvZHk="
    proxy_password   = "aHVudGVyMg=="
    replicas         = 3
    upgrader_enabled = false
  }

  assert {
    condition     = harness_delegate.this.image == "harness/delegate:1" && harness_delegate.this.replicas == 3 && harness_delegate.this.init_script == "echo hello"
    error_message = "delegate_image, replicas or init_script is lost"
  }

  assert {
    condition     = !harness_delegate.this.helm.create_namespace && harness_delegate.this.helm.namespace == "delegates"
    error_message = "namespace or create_namespace is lost"
  }

  assert {
    condition     = harness_delegate.this.helm.chart.repository == "https://charts.example.com/" && harness_delegate.this.helm.chart.version == "1.0.32"
    error_message = "helm_repository or chart_version is lost"
  }

  assert {
    condition     = harness_delegate.this.mtls.secret_name == "client-certificate"
    error_message = "mtls_secret_name is lost"
  }

  assert {
    condition     = harness_delegate.this.proxy.host == "proxy.example.com" && harness_delegate.this.proxy.port == 3128 && harness_delegate.this.proxy.scheme == "https"
    error_message = "the proxy is lost"
  }

  assert {
    condition     = harness_delegate.this.proxy.user == "somebody"
    error_message = "proxy_user must be decoded: the provider encodes by itself"
  }

  assert {
    condition     = tolist(harness_delegate.this.proxy.no_proxy) == tolist([".example.com", "localhost"])
    error_message = "no_proxy must be taken apart at its commas"
  }

  assert {
    condition     = harness_delegate.this.proxy.password_wo == null && harness_delegate.this.token_wo == null
    error_message = "a secret is in the state"
  }

  assert {
    condition     = yamldecode(harness_delegate.this.helm.values[0]) == { deployMode = "KUBERNETES_ONPREM", nextGen = false, upgrader = { enabled = false } }
    error_message = "deploy_mode, next_gen or upgrader_enabled is lost"
  }
}

run "own_values_are_laid_over" {
  variables {
    replicas = 2
    values   = "memory: 4096\nnextGen: false\nupgrader:\n  schedule: 0 0 * * *\n"
  }

  assert {
    condition = yamldecode(harness_delegate.this.helm.values[0]) == {
      deployMode = "KUBERNETES"
      memory     = 4096
      nextGen    = false
      upgrader   = { enabled = true, schedule = "0 0 * * *" }
    }
    error_message = "values must be merged as Helm merges them"
  }

  assert {
    condition     = yamldecode(output.values).memory == 4096 && yamldecode(output.values).delegateName == "team-a" && yamldecode(output.values).replicas == 2
    error_message = "the output must show the merged values"
  }

  assert {
    condition     = issensitive(output.values)
    error_message = "the output must be sensitive"
  }
}

run "the_output_has_neither_token_nor_password" {
  variables {
    proxy_host     = "proxy.example.com"
    proxy_port     = "3128"
    proxy_user     = "c29tZWJvZHk="
    proxy_password = "aHVudGVyMg=="
  }

  assert {
    condition     = !anytrue([for secret in ["00000000000000000000000000000000", "aHVudGVyMg==", "hunter2"] : strcontains(output.values, secret)])
    error_message = "a secret is in the output"
  }
}

run "the_same_token_is_no_change" {
  assert {
    condition     = harness_delegate.this.token_wo_version == run.the_four_required_inputs_suffice.token_version
    error_message = "the version must depend on the token alone"
  }
}

run "another_token_is_another_version" {
  variables {
    delegate_token = "11111111111111111111111111111111"
  }

  assert {
    condition     = harness_delegate.this.token_wo_version != run.the_four_required_inputs_suffice.token_version
    error_message = "another token must be handed over"
  }
}

run "without_a_repository_the_chart_is_the_providers" {
  variables {
    helm_repository = ""
  }

  assert {
    condition     = harness_delegate.this.helm.chart == null
    error_message = "an empty helm_repository must mean the embedded chart"
  }
}

run "inputs_that_cannot_work_are_refused" {
  command = plan

  variables {
    proxy_host     = "proxy.example.com"
    proxy_port     = "many"
    proxy_user     = "not base64!"
    proxy_password = "not base64!"
    values         = "- a list"
  }

  expect_failures = [var.proxy_port, var.proxy_user, var.proxy_password, var.values]
}

run "a_proxy_needs_a_port" {
  command = plan

  variables {
    proxy_host = "proxy.example.com"
  }

  expect_failures = [var.proxy_port]
}
