# Of the account: <name>.
terraform import harness_delegate_token.team_a team-a-2030

# Of a project: <organization>/<project>/<name>.
terraform import harness_delegate_token.project default/shop/team-a-trial
