//! How a connection is authenticated.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::packets::{Packets, error, odd, parse};
use crate::users::sql::Failure;

/// The random bytes of the server that a password is scrambled with.
const NONCE: usize = 20;

/// Returns what proves the password to the server. `is_trusted`: nothing between can have the password, which a server may ask for
/// with `caching_sha2_password`.
pub fn scramble(
    plugin: &AuthPlugin<'_>,
    password: Option<&str>,
    nonce: &[u8],
    is_trusted: bool,
) -> Result<Vec<u8>, Failure> {
    if nonce.len() != NONCE {
        return Err(odd());
    }
    match plugin {
        AuthPlugin::CachingSha2Password if !is_trusted => Err(Failure::other(
            "`caching_sha2_password` needs `sslmode=verify-full` or `verify-ca`, a Unix socket, or a server on this machine: \
             the server may ask for the password itself",
        )),
        AuthPlugin::MysqlNativePassword | AuthPlugin::CachingSha2Password => {
            Ok(plugin.gen_data(password, nonce).map(|data| data.to_vec()).unwrap_or_default())
        }
        // Others send the password itself, or are of other times.
        _ => Err(Failure::other(
            "the user must be identified by `caching_sha2_password` or `mysql_native_password`; the server asks for another plugin",
        )),
    }
}

/// Answers the server until it accepts or rejects the user.
pub fn finish(
    packets: &mut Packets,
    mut plugin: AuthPlugin<'static>,
    password: Option<&str>,
    mut nonce: Vec<u8>,
    is_trusted: bool,
) -> Result<(), Failure> {
    // A server switches once, and asks for at most a scramble and a password.
    for _ in 0..6 {
        let payload = packets.read()?;
        match payload.as_slice() {
            [0, ..] => return Ok(()),
            [0xff, ..] => return Err(error(&payload)),
            [0xfe, _, ..] => {
                let request: AuthSwitchRequest<'_> = parse(&payload, ())?;
                plugin = request.auth_plugin().into_owned();
                nonce = request.plugin_data().to_vec();
                packets.write(&scramble(&plugin, password, &nonce, is_trusted)?)?;
            }
            // The server knows the password.
            [1, 3] if plugin == AuthPlugin::CachingSha2Password => {}
            // It does not know it yet.
            [1, 4] if plugin == AuthPlugin::CachingSha2Password => {
                let mut word = Zeroizing::new(password.unwrap_or_default().as_bytes().to_vec());
                word.push(0);
                match packets.channel.is_private() {
                    true => packets.write(&word)?,
                    false => {
                        packets.write(&[2])?;
                        let encrypted = encrypt(word, &nonce, &packets.read()?)?;
                        packets.write(&encrypted)?;
                    }
                }
            }
            _ => return Err(odd()),
        }
    }
    Err(odd())
}

/// Encrypts a password for a server without TLS, with the key that it sent.
fn encrypt(mut word: Zeroizing<Vec<u8>>, nonce: &[u8], payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let [1, pem @ ..] = payload else { return Err(odd()) };
    word.iter_mut().zip(nonce.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| odd())?;
    let key = PublicEncryptingKey::from_der(&der).map_err(|_| odd())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| odd())?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let written = key.encrypt(&OAEP_SHA1_MGF1SHA1, &word, &mut encrypted, None).map_err(|_| odd())?;
    Ok(written.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plugins_that_hide_the_password_are_used() {
        let nonce = [7; NONCE];
        for plugin in [AuthPlugin::MysqlNativePassword, AuthPlugin::CachingSha2Password] {
            assert!(scramble(&plugin, Some("hidden"), &nonce, true).unwrap().len() >= 20);
            assert_eq!(scramble(&plugin, None, &nonce, true).unwrap(), b"");
            assert!(scramble(&plugin, Some("hidden"), &nonce[..8], true).is_err());
        }
        let others =
            ["mysql_clear_password", "mysql_old_password", "client_ed25519", "parsec", "sha256_password", "dialog"];
        for name in others {
            let failure = scramble(&AuthPlugin::from_bytes(name.as_bytes()), Some("hidden"), &nonce, true).unwrap_err();
            assert!(!failure.message.contains("hidden"), "{name}");
        }
    }

    #[test]
    fn damaged_key_of_a_server_encrypts_nothing() {
        let word = || Zeroizing::new(b"hidden\0".to_vec());
        for odd in
            [&b""[..], b"\x01", b"\x00-----BEGIN", b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
        {
            assert!(encrypt(word(), &[7; NONCE], odd).is_err());
        }
    }
}
