import {
  to = harness_delegate_token.project

  identity = {
    org_id     = "default"
    project_id = "shop"
    name       = "team-a-trial"
  }
}
