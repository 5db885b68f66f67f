//! What a child may use, and who it is.

use std::fmt;

/// Bounds on a child and everything it starts, together, and the user it runs as. Nothing is bound by default.
///
/// Each bound is held by a control group of the child's own where the delegate may make one: version 1, or version 2
/// below a group that was delegated to us. Elsewhere the kernel's limits on processes stand in, which are weaker: on
/// memory of each process alone, on processes of the user as a whole (and not of root), on processors none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Most processes and threads at a time.
    pub processes: Option<u32>,
    /// Most memory, in bytes. Who needs more is killed.
    pub memory: Option<u64>,
    /// Most time of processors, in thousandths of one.
    pub millicpus: Option<u32>,
    /// Who it runs as, instead of us; takes that we are root.
    pub user: Option<User>,
}

impl Confinement {
    /// Whether there is any bound on what may be used.
    pub fn bounds(&self) -> bool {
        self.processes.is_some() || self.memory.is_some() || self.millicpus.is_some()
    }
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id; never that of root.
    pub uid: u32,
    /// Group id. It is in no other group.
    pub gid: u32,
    /// Its name, or the number where it has none.
    pub name: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl User {
    /// The user of a name of `/etc/passwd`, or of numbers: `UID` or `UID:GID`. The error is a sentence fragment.
    ///
    /// The file is read as it is: a program without shared libraries has no other directory of users.
    pub fn find(text: &str) -> Result<Self, String> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = Self::find_in(text, &passwd)?;
        if user.uid == 0 {
            return Err("is root; name a user without rights, for example nobody".to_owned());
        }
        Ok(user)
    }

    fn find_in(text: &str, passwd: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let group = group
            .map(|group| {
                group
                    .parse::<u32>()
                    .map_err(|_| "has a group that is no number".to_owned())
            })
            .transpose()?;
        let uid = user.parse::<u32>().ok();
        // name:password:uid:gid:…
        let known = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id = fields.nth(1)?.parse::<u32>().ok()?;
            let gid = fields.next()?.parse::<u32>().ok()?;
            (name == user || Some(id) == uid).then(|| Self {
                uid: id,
                gid: group.unwrap_or(gid),
                name: name.to_owned(),
            })
        });
        match (known, uid) {
            (Some(known), _) => Ok(known),
            (None, Some(uid)) => Ok(Self {
                uid,
                gid: group.unwrap_or(uid),
                name: uid.to_string(),
            }),
            (None, None) => Err(format!(
                "names {user:?}, who is not in /etc/passwd; write UID:GID, or make the user"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/sbin/nologin\n";
        let find = |text| User::find_in(text, passwd).map(|user| (user.uid, user.gid, user.name));
        let nobody = |gid| Ok((65534, gid, "nobody".to_owned()));
        assert_eq!(find("nobody"), nobody(65533));
        assert_eq!(find("65534"), nobody(65533));
        assert_eq!(find("nobody:7"), nobody(7));
        assert_eq!(find("1234"), Ok((1234, 1234, "1234".to_owned())));
        assert_eq!(find("1234:5"), Ok((1234, 5, "1234".to_owned())));
        assert!(find("who").unwrap_err().contains("not in /etc/passwd"));
        assert!(find("nobody:staff").unwrap_err().contains("no number"));
        assert!(User::find("0").unwrap_err().contains("is root"));
    }
}
