# In a cluster: helm/<context>/<namespace>/<release>.
terraform import harness_delegate.cluster helm/minikube/harness-delegate-ng/team-a

# On this machine: host/localhost/<name>.
terraform import harness_delegate.host host/localhost/team-a-host

# On another machine; the folder that host.directory names goes before the name, with its own slash, and what host.ssh has besides
# host, port and user goes behind it (identity_file, known_hosts_file, connect_timeout, sudo), as in a URL.
terraform import harness_delegate.far 'host/deploy@web-1:2222//srv/delegates/team-a/team-a-far?identity_file=~/.ssh/web&sudo=true'
