# The inputs and outputs of the module harness/harness-delegate/kubernetes 0.2.4, on the resource harness_delegate: a root
# module that uses that one changes its `source` line, and nothing else. See README.md.

locals {
  # What the chart knows and the resource has no argument for.
  base = {
    deployMode = var.deploy_mode
    nextGen    = var.next_gen
    upgrader   = { enabled = var.upgrader_enabled }
  }

  # No YAML at all is an empty mapping.
  own = yamldecode(trimspace(var.values) == "" ? "{}" : var.values)

  # As Helm lays one document over the other. Below `upgrader`, the only mapping of ours, there is no further one.
  merged = merge(local.base, local.own, {
    upgrader = try(merge(local.base.upgrader, local.own.upgrader), local.own.upgrader, local.base.upgrader)
  })

  proxied = var.proxy_host != ""

  # What the official module shows, but for the user and the password at the proxy.
  shown = merge({
    accountId           = var.account_id
    managerEndpoint     = var.manager_endpoint
    namespace           = var.namespace
    delegateName        = var.delegate_name
    delegateDockerImage = var.delegate_image
    replicas            = var.replicas
    proxyHost           = var.proxy_host
    proxyPort           = var.proxy_port
    proxyScheme         = var.proxy_scheme
    noProxy             = var.no_proxy
    initScript          = var.init_script
    mTLS                = { secretName = var.mtls_secret_name }
  }, local.merged)
}

resource "harness_delegate" "this" {
  name        = var.delegate_name
  account_id  = var.account_id
  manager_url = var.manager_endpoint
  image       = var.delegate_image == "" ? null : var.delegate_image
  replicas    = var.replicas
  init_script = var.init_script == "" ? null : var.init_script

  token_wo = var.delegate_token
  # Another token has another digest. These 32 bits say nothing of its 128.
  token_wo_version = parseint(substr(nonsensitive(sha256(var.delegate_token)), 0, 8), 16)

  mtls = var.mtls_secret_name == "" ? null : { secret_name = var.mtls_secret_name }

  proxy = local.proxied ? {
    host   = var.proxy_host
    port   = tonumber(var.proxy_port)
    scheme = var.proxy_scheme == "" ? null : var.proxy_scheme
    # Given as the official chart wants them, in base64.
    user        = var.proxy_user == "" ? null : base64decode(var.proxy_user)
    password_wo = var.proxy_password == "" ? null : base64decode(var.proxy_password)
    no_proxy    = var.no_proxy == "" ? null : [for suffix in split(",", var.no_proxy) : trimspace(suffix)]
  } : null

  helm = {
    namespace        = var.namespace
    create_namespace = var.create_namespace
    chart = var.helm_repository == "" ? null : {
      repository = var.helm_repository
      name       = "harness-delegate-ng"
      version    = var.chart_version
    }
    values = [yamlencode(local.merged)]
  }

  wait = var.wait
}

# The official module's release becomes this one, and its pods stay.
moved {
  from = helm_release.delegate
  to   = harness_delegate.this
}
