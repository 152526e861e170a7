//! The test authority and the server certificates it gives out, good and bad.

use crate::error::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// Which certificate the HTTPS port shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// For localhost, 127.0.0.1 and ::1, by the test authority
    #[default]
    Ok,
    /// The same, but long expired
    Expired,
    /// For another host
    WrongHost,
    /// Not by the test authority
    SelfSigned,
}

impl std::str::FromStr for Leaf {
    type Err = Error;

    fn from_str(text: &str) -> Result<Leaf> {
        match text {
            "ok" => Ok(Leaf::Ok),
            "expired" => Ok(Leaf::Expired),
            "wrong-host" => Ok(Leaf::WrongHost),
            "self-signed" => Ok(Leaf::SelfSigned),
            _ => Err(Error::new("leaf: ok, expired, wrong-host or self-signed")),
        }
    }
}

/// A server configuration with a fresh certificate, and the PEM of the authority to trust.
pub fn server_config(leaf: Leaf) -> Result<(Arc<ServerConfig>, String)> {
    let authority = authority().map_err(unfit)?;
    let (certificate, key) = certificate(leaf, &authority).map_err(unfit)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), authority.pem()))
}

fn unfit(error: impl std::fmt::Display) -> Error {
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
