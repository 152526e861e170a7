//! The test authority, and valid and invalid server certificates.

use crate::error::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The certificate of the HTTPS port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// For localhost, 127.0.0.1 and ::1, issued by the test authority
    #[default]
    Ok,
    /// The same, but expired
    Expired,
    /// For another host
    WrongHost,
    /// Self-signed
    SelfSigned,
}

impl std::str::FromStr for Leaf {
    type Err = Error;

    fn from_str(name: &str) -> Result<Leaf> {
        match name {
            "ok" => Ok(Leaf::Ok),
            "expired" => Ok(Leaf::Expired),
            "wrong-host" => Ok(Leaf::WrongHost),
            "self-signed" => Ok(Leaf::SelfSigned),
            _ => Err(Error::new("leaf: must be ok, expired, wrong-host or self-signed")),
        }
    }
}

/// Returns a server configuration with a new certificate, and the certificate of the authority as PEM.
pub fn server_config(leaf: Leaf) -> Result<(Arc<ServerConfig>, String)> {
    let authority = authority().map_err(tls_error)?;
    let (certificate, key) = certificate(leaf, &authority).map_err(tls_error)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), authority.pem()))
}

/// The files of a server that is not this one, as PEM.
pub struct ServerPem {
    /// The certificate of the server
    pub certificate: String,
    /// Its private key
    pub key: String,
    /// The certificate of the authority
    pub authority: String,
}

/// Makes a new certificate for a server of another kind, such as a database.
pub fn server_pem(leaf: Leaf) -> Result<ServerPem> {
    let authority = authority().map_err(tls_error)?;
    let (certificate, key) = certificate(leaf, &authority).map_err(tls_error)?;
    Ok(ServerPem {
        certificate: crate::der::to_pem("CERTIFICATE", &certificate),
        key: crate::der::to_pem("PRIVATE KEY", key.secret_der()),
        authority: authority.pem(),
    })
}

fn tls_error(error: impl std::fmt::Display) -> Error {
    Error::new(format!("TLS: {error}"))
}

fn authority() -> std::result::Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "clerk-sim test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn certificate(
    leaf: Leaf,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> std::result::Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let names: &[&str] = match leaf {
        Leaf::WrongHost => &["elsewhere.example"],
        _ => &["localhost", "127.0.0.1", "::1"],
    };
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "clerk-sim");
    params.use_authority_key_identifier_extension = true;
    if leaf == Leaf::Expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate()?;
    let certificate = match leaf {
        Leaf::SelfSigned => params.self_signed(&key)?,
        _ => params.signed_by(&key, authority)?,
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((certificate.der().clone(), key.into()))
}
