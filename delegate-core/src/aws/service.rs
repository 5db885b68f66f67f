//! The services, and what AWS calls them in which place.

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its part of the host's name.
    pub(super) host: &'static str,
    /// What a signature is for, and how its permissions begin.
    pub(super) signed_as: &'static str,
    /// The end of `AWS_ENDPOINT_URL_…`.
    pub(super) variable: &'static str,
    /// JSON: what stands before the operation. Query: the version.
    pub(super) interface: &'static str,
}

pub(crate) const SECRETS_MANAGER: Service = Service {
    name: "Secrets Manager",
    host: "secretsmanager",
    signed_as: "secretsmanager",
    variable: "SECRETS_MANAGER",
    interface: "secretsmanager",
};

pub(crate) const STS: Service = Service {
    name: "STS",
    host: "sts",
    signed_as: "sts",
    variable: "STS",
    interface: "2011-06-15",
};

pub(crate) const S3: Service = Service {
    name: "S3",
    host: "s3",
    signed_as: "s3",
    variable: "S3",
    interface: "",
};

pub(crate) const ECS: Service = Service {
    name: "ECS",
    host: "ecs",
    signed_as: "ecs",
    variable: "ECS",
    interface: "AmazonEC2ContainerServiceV20141113",
};

pub(crate) const ECR: Service = Service {
    name: "ECR",
    host: "api.ecr",
    signed_as: "ecr",
    variable: "ECR",
    interface: "AmazonEC2ContainerRegistry_V20150921",
};
