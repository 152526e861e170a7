//! TLS for ureq: rustls with the system's certificates or the configured ones, and errors that say what is wrong with a
//! certificate. ureq's own connector does not pass on the certificate that was rejected.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::Error;
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::transport::TransportError;

/// Reads the certificates of a PEM string. Those that are not valid authorities are skipped, as bundles contain some.
pub fn root_certificates(pem: &str) -> Option<RootCertStore> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.ok()?);
    (!roots.is_empty()).then_some(roots)
}

/// Adds TLS to the connections of `https` URLs.
#[derive(Default)]
pub struct TlsConnector {
    /// The trusted authorities; `None`: the system's.
    roots: Option<Arc<RootCertStore>>,
    /// Made for the first connection, so that a client is created without reading files.
    config: OnceLock<Arc<ClientConfig>>,
}

impl TlsConnector {
    pub fn new(roots: Option<Arc<RootCertStore>>) -> Self {
        TlsConnector { roots, config: OnceLock::new() }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = server_verifier(self.roots.as_ref()).and_then(client_config).map_err(failure)?;
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Returns what verifies servers by the trusted authorities; `None`: those of the system.
pub fn server_verifier(roots: Option<&Arc<RootCertStore>>) -> Result<Arc<dyn ServerCertVerifier>, TransportError> {
    Ok(Arc::new(Verifier(match roots {
        Some(roots) => WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|_| TransportError::NoRootCertificates)?,
        None => system_verifier(provider())?,
    })))
}

/// Returns the TLS of connections to servers that `verifier` verifies.
pub fn client_config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, TransportError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|_| TransportError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn system_verifier(provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TransportError> {
    // It does not say whether there are no certificates or they cannot be opened.
    let failed = |_| TransportError::NoRootCertificates.unless_out_of_files();
    rustls_platform_verifier::Verifier::new(provider).map(|verifier| Arc::new(verifier) as _).map_err(failed)
}

/// Passes an error of ours through ureq.
pub fn failure(error: TransportError) -> Error {
    Error::Io(std::io::Error::other(error))
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("invalid host name"))?.to_owned();
        let mut conn = ClientConnection::new(self.config()?, name).map_err(|error| failure(of_rustls(&error)))?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        let mut timeout = details.timeout;
        // What is left after the connection was made.
        if let (Instant::Exact(now), Instant::Exact(began)) = ((details.current_time)(), details.now)
            && let Duration::Exact(limit) = timeout.after
        {
            timeout.after = Duration::Exact(limit.saturating_sub(now.saturating_duration_since(began)));
        }
        sock.set_timeout(timeout);
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// A connection with TLS.
pub struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

/// Verifies as the verifier inside does; distinguishes a self-signed certificate from that of an unknown authority.
#[derive(Debug)]
struct Verifier(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        outcome.map_err(|error| match &error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
                if is_self_signed(end_entity) =>
            {
                let error = OtherError(Arc::new(TransportError::CertificateSelfSigned));
                rustls::Error::InvalidCertificate(CertificateError::Other(error))
            }
            _ => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|cert| cert.issuer() == cert.subject())
}

/// Returns what failed in TLS.
pub fn of_rustls(error: &rustls::Error) -> TransportError {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::NoCertificatesPresented => TransportError::Certificate,
        rustls::Error::InvalidMessage(_) => TransportError::NotTls,
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        ) => TransportError::TlsVersion,
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::NoCertificate) => {
            TransportError::ClientCertificate
        }
        _ => TransportError::Tls,
    }
}

fn of_certificate(error: &CertificateError) -> TransportError {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TransportError::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TransportError::CertificateNotValidYet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TransportError::CertificateForOtherHost
        }
        // A bad signature: another authority with the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TransportError::CertificateUnknownIssuer,
        CertificateError::Revoked => TransportError::CertificateRevoked,
        CertificateError::Other(OtherError(error)) => {
            error.downcast_ref().copied().unwrap_or(TransportError::Certificate)
        }
        _ => TransportError::Certificate,
    }
}
