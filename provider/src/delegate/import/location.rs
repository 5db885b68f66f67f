//! Import ids and identities: where a delegate is, in words.
//!
//! An id is `mode/place[/namespace]/name`. That of a host may say more, because an import has nothing but the id: the
//! folder, which stands before the name with its own leading slash, and how to get to the machine, which stands behind it
//! as in a URL: `host/deploy@web:2222//srv/delegates/team-a?identity_file=~/.ssh/web&sudo=true`. An identity has the same
//! parts. What is stored is the short form: a folder and a key are arguments, and no part of what the delegate is.
//!
//! An id or identity that is none is answered with a sentence, or with the forms there are.

use url::form_urlencoded;

use super::super::model::Ssh;
use super::super::schema::{DEFAULT_NAMESPACE, is_absolute, is_duration};
use crate::framework::prelude::*;

/// What this machine is called.
pub(super) const THIS_MACHINE: &str = "localhost";

/// What an id can look like.
const FORMS: &str = "Give helm/<context>/<namespace>/<release>, manifest/<context>/<namespace>/<name>, docker/<host>/<container>, \
     host/localhost/<name>, or host/[<user>@]<host>[:<port>]/<name>; or the same parts as an identity: mode, place, namespace, \
     name. A folder of a host goes before the name, host/<machine>//srv/delegates/a/<name>, and arguments of host.ssh behind it, \
     ?identity_file=<path>&sudo=true.";

/// The parts of an id.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) mode: Mode,
    pub(super) place: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// Folder of an installation that is not where the name leads to.
    pub(super) directory: Option<String>,
    pub(super) access: Access,
}

/// How to get to another machine, as far as its name does not say it: arguments of `host.ssh`, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) identity_file: Option<String>,
    pub(super) known_hosts_file: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) sudo: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Helm,
    Manifest,
    Docker,
    Host,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Helm, Self::Manifest, Self::Docker, Self::Host];

    fn name(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::Manifest => "manifest",
            Self::Docker => "docker",
            Self::Host => "host",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// The parts of the id.
pub(in crate::delegate) fn identity_schema() -> IdentitySchema {
    IdentitySchema::new(0)
        .required("mode", Type::String, "`helm`, `manifest`, `docker` or `host`.")
        .required(
            "place",
            Type::String,
            "Context of the kubeconfig; address of the Docker engine, `localhost` for its usual socket; or the machine: `localhost`, or \
             `[user@]host[:port]` as `ssh` knows it.",
        )
        .optional(
            "namespace",
            Type::String,
            "Namespace, with `helm` and `manifest`.",
        )
        .required("name", Type::String, "Name of the release, of the container, or of the delegate.")
        .optional(
            "directory",
            Type::String,
            "For an import, with `host`: the folder of the installation, when `host.directory` names it.",
        )
        .optional(
            "identity_file",
            Type::String,
            "For an import from another machine: what `host.ssh.identity_file` is.",
        )
        .optional(
            "known_hosts_file",
            Type::String,
            "For an import from another machine: what `host.ssh.known_hosts_file` is.",
        )
        .optional(
            "connect_timeout",
            Type::String,
            "For an import from another machine: what `host.ssh.connect_timeout` is.",
        )
        .optional(
            "sudo",
            Type::Bool,
            "For an import from another machine: what `host.ssh.sudo` is.",
        )
}

/// The identity that an id spells out.
pub(in crate::delegate) fn identity(id: &str) -> Option<Value> {
    Location::parse(id).ok().map(Location::identity)
}

/// The same with how one got there, for whoever imports it next.
pub(in crate::delegate) fn identity_with(id: &str, ssh: Option<&Ssh>) -> Option<Value> {
    let mut location = Location::parse(id).ok()?;
    if let Some(ssh) = ssh {
        location.access = Access {
            identity_file: ssh.identity_file.clone(),
            known_hosts_file: ssh.known_hosts_file.clone(),
            connect_timeout: ssh.connect_timeout.clone(),
            sudo: ssh.sudo,
        };
    }
    Some(location.identity())
}

impl Location {
    /// The parts of an id.
    ///
    /// # Errors
    /// What is wrong with it, or the forms there are.
    pub(super) fn parse(id: &str) -> Result<Self, String> {
        let forms = || FORMS.to_owned();
        let (mode, rest) = id.split_once('/').ok_or_else(forms)?;
        let mode = Mode::named(mode).ok_or_else(forms)?;
        let (rest, options) = match rest.split_once('?') {
            Some((rest, options)) if mode == Mode::Host => (rest, options),
            _ => (rest, ""),
        };
        let location = Self::of_path(mode, rest).ok_or_else(forms)?;
        let mut access = Access::default();
        for (name, value) in form_urlencoded::parse(options.as_bytes()) {
            access.set(&name, &value)?;
        }
        Self { access, ..location }.checked()
    }

    /// What stands between the mode and the options.
    fn of_path(mode: Mode, path: &str) -> Option<Self> {
        let (place, namespace, directory, name) = match mode {
            // A context may contain slashes, as those of EKS do: the namespace and the release are taken from the end.
            Mode::Helm | Mode::Manifest => {
                let (rest, name) = path.rsplit_once('/')?;
                let (place, namespace) = rest.rsplit_once('/')?;
                (place, Some(namespace), None, name)
            }
            Mode::Docker => {
                let (place, name) = path.rsplit_once('/')?;
                (place, None, None, name)
            }
            // A machine's name has no slash: what is between it and the delegate's is the folder.
            Mode::Host => {
                let (place, rest) = path.split_once('/')?;
                match rest.rsplit_once('/') {
                    Some((directory, name)) => (place, None, Some(directory), name),
                    None => (place, None, None, rest),
                }
            }
        };
        Some(Self {
            mode,
            place: place.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            directory: directory.map(str::to_owned),
            access: Access::default(),
        })
    }

    /// The parts of an identity.
    ///
    /// # Errors
    /// What is wrong with it, or the forms there are.
    pub(super) fn of_identity(identity: &Value) -> Result<Self, String> {
        let text = |name: &str| identity.named(name).as_str().map(str::to_owned);
        let (Some(mode), Some(place), Some(name)) = (
            text("mode").as_deref().and_then(Mode::named),
            text("place"),
            text("name"),
        ) else {
            return Err(FORMS.to_owned());
        };
        Self {
            mode,
            place,
            namespace: text("namespace"),
            name,
            directory: text("directory"),
            access: Access {
                identity_file: text("identity_file"),
                known_hosts_file: text("known_hosts_file"),
                connect_timeout: text("connect_timeout"),
                sudo: identity.named("sudo").as_bool(),
            },
        }
        .checked()
    }

    fn checked(self) -> Result<Self, String> {
        let parts = [
            Some(&self.place),
            Some(&self.name),
            self.namespace.as_ref(),
            self.directory.as_ref(),
        ];
        if parts.into_iter().flatten().any(String::is_empty) {
            return Err(FORMS.to_owned());
        }
        let of_host = self.directory.is_some() || self.access != Access::default();
        if self.mode != Mode::Host && of_host {
            return Err(format!(
                "A folder, and how to get to a machine, are for mode = \"host\", and this is {:?}. Remove them.",
                self.mode.name()
            ));
        }
        if let Some(directory) = &self.directory {
            is_absolute(directory).map_err(|problem| format!("{directory:?} is no folder. {problem}"))?;
        }
        if let Some(limit) = &self.access.connect_timeout {
            is_duration(limit).map_err(|_| {
                format!("connect_timeout must be a duration, for example 90s, and is {limit:?}.")
            })?;
        }
        if self.place == THIS_MACHINE && self.access != Access::default() {
            return Err(format!(
                "{THIS_MACHINE} is reached without ssh. Remove the arguments of host.ssh, or name another machine."
            ));
        }
        Ok(self)
    }

    /// The id as it is stored.
    pub(super) fn id(&self) -> String {
        let (mode, place, name) = (self.mode.name(), &self.place, &self.name);
        match self.mode {
            Mode::Helm | Mode::Manifest => {
                let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
                format!("{mode}/{place}/{namespace}/{name}")
            }
            Mode::Docker | Mode::Host => format!("{mode}/{place}/{name}"),
        }
    }

    /// The identity, with everything that was said.
    pub(super) fn identity(self) -> Value {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::String);
        Value::object([
            ("mode", self.mode.name().into()),
            ("place", Value::String(self.place)),
            ("namespace", text(self.namespace)),
            ("name", Value::String(self.name)),
            ("directory", text(self.directory)),
            ("identity_file", text(self.access.identity_file)),
            ("known_hosts_file", text(self.access.known_hosts_file)),
            ("connect_timeout", text(self.access.connect_timeout)),
            ("sudo", self.access.sudo.map_or(Value::Null, Value::Bool)),
        ])
    }
}

impl Access {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{name} has no value. Give {name}=<value>, or remove it."));
        }
        let text = Some(value.to_owned());
        match name {
            "identity_file" => self.identity_file = text,
            "known_hosts_file" => self.known_hosts_file = text,
            "connect_timeout" => self.connect_timeout = text,
            "sudo" => {
                let sudo = value.parse();
                self.sudo = Some(sudo.map_err(|_| format!("sudo must be true or false, and is {value:?}."))?);
            }
            _ => {
                return Err(format!(
                    "{name:?} is no argument of host.ssh that an id takes. It takes identity_file, known_hosts_file, connect_timeout and \
                     sudo; host, port and user stand before the name: [user@]host[:port]."
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_its_identity_name_the_same_place() {
        for id in [
            "helm/minikube/ns/team-a",
            "helm/arn:aws:eks:x:1:cluster/prod/ns/team-a",
            "manifest/arn:aws:eks:x:1:cluster/prod/ns/team-a",
            "docker/localhost/team-a",
            "docker/unix:///run/docker.sock/team-a",
            "docker/ssh://root@build-1:22/team-a",
            "host/localhost/team-a",
            "host/deploy@web.example:2222/team-a",
            "host/[fe80::1%eth0]:22/team-a",
        ] {
            let location = Location::parse(id).unwrap();
            assert_eq!(location.id(), id);
            let by_identity = Location::of_identity(&location.identity()).unwrap();
            assert_eq!(by_identity.id(), id);
        }
    }

    #[test]
    fn a_folder_stands_before_the_name_with_its_own_slash() {
        for (id, directory) in [
            ("host/localhost/a", None),
            ("host/localhost//srv/a", Some("/srv")),
            ("host/u@web:22//srv/delegates/x/a", Some("/srv/delegates/x")),
        ] {
            let location = Location::parse(id).unwrap();
            assert_eq!(location.directory.as_deref(), directory, "{id}");
            assert_eq!(location.name, "a");
        }
    }

    #[test]
    fn parts_of_a_host_are_for_hosts() {
        let mut identity = Location::parse("docker/localhost/a").unwrap().identity();
        *identity.at_mut(&"directory".into()).unwrap() = "/srv".into();
        let error = Location::of_identity(&identity).unwrap_err();
        assert!(
            error.contains("mode = \"host\"") && error.contains("docker"),
            "{error}"
        );
    }

    #[test]
    fn a_listed_delegate_says_how_one_got_there() {
        let ssh = Ssh {
            host: "web".into(),
            port: None,
            user: None,
            identity_file: Some("/k".into()),
            known_hosts_file: None,
            connect_timeout: None,
            sudo: Some(false),
        };
        let identity = identity_with("host/web/a", Some(&ssh)).unwrap();
        let location = Location::of_identity(&identity).unwrap();
        assert_eq!(
            (location.access.identity_file.as_deref(), location.access.sudo),
            (Some("/k"), Some(false))
        );
    }
}
