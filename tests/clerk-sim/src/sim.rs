//! Starts a fake API in this process.

use crate::admin;
use crate::conn::Conn;
use crate::control::Control;
use crate::error::Result;
use crate::keys::KeyStore;
use crate::lock;
use crate::port::Port;
use crate::server::Shared;
use crate::state::ApiState;
use crate::tls::{self, Leaf};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

/// A fake Clerk API. Closes its ports and connections when dropped.
///
/// [`Control`] has the methods for a running API.
pub struct Sim {
    admin: Option<Port>,
    control: Arc<Control>,
}

/// Configures and starts a fake API.
pub struct Builder {
    listen: SocketAddr,
    https: bool,
    leaf: Leaf,
    admin: Option<SocketAddr>,
    keys: KeyStore,
    state: ApiState,
}

impl Builder {
    /// Sets the address of the API; port 0 lets the kernel choose one. HTTPS has the same host.
    pub fn listen(mut self, addr: SocketAddr) -> Builder {
        self.listen = addr;
        self
    }

    /// Sets whether a second port serves HTTPS.
    pub fn https(mut self, https: bool) -> Builder {
        self.https = https;
        self
    }

    /// Sets the certificate for HTTPS, and serves HTTPS.
    pub fn leaf(mut self, leaf: Leaf) -> Builder {
        self.leaf = leaf;
        self.https(true)
    }

    /// Serves the admin API on an address.
    pub fn admin(mut self, addr: SocketAddr) -> Builder {
        self.admin = Some(addr);
        self
    }

    /// Adds keys to the built-in ones.
    pub fn keys(mut self, keys: KeyStore) -> Builder {
        self.keys.merge(keys);
        self
    }

    /// Sets the initial state.
    pub fn state(mut self, state: ApiState) -> Builder {
        self.state = state;
        self
    }

    /// Starts the API. Panics on failure.
    pub fn start(self) -> Sim {
        self.try_start().unwrap_or_else(|error| panic!("clerk-sim cannot start: {error}"))
    }

    /// Starts the API. Fails if a port cannot be opened.
    pub fn try_start(self) -> Result<Sim> {
        let shared = Arc::new(Shared::default());
        *lock(&shared.state) = self.state;
        *shared.keys.write().unwrap_or_else(PoisonError::into_inner) = self.keys;
        let server = shared.clone();
        let http = Port::open(self.listen, move |stream| {
            server.stats.connected();
            server.serve(Conn::Plain(stream));
        })?;
        let (mut https, mut ca_pem) = (None, None);
        if self.https {
            let (config, authority) = tls::server_config(self.leaf)?;
            let server = shared.clone();
            https = Some(Port::open(SocketAddr::new(self.listen.ip(), 0), move |stream| {
                server.stats.connected();
                match Conn::with_tls(stream, config.clone()) {
                    Ok(conn) => server.serve(conn),
                    Err(_) => server.stats.handshake_failed(),
                }
            })?);
            ca_pem = Some(authority);
        }
        let control = Arc::new(Control { shared, http, https, ca_pem });
        let admin = match self.admin {
            None => None,
            Some(addr) => {
                let control = control.clone();
                Some(Port::open(addr, move |stream| admin::serve(&control, Conn::Plain(stream)))?)
            }
        };
        Ok(Sim { admin, control })
    }
}

impl Sim {
    /// Starts a fake API with the built-in keys and an empty instance.
    pub fn start() -> Sim {
        Self::builder().start()
    }

    /// Returns a builder.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            https: false,
            leaf: Leaf::Ok,
            admin: None,
            keys: KeyStore::built_in(),
            state: ApiState::default(),
        }
    }

    /// Returns the base URL of the admin API, if it is served.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().map(|port| format!("http://{}", port.addr()))
    }
}

impl Deref for Sim {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.admin = None;
        // An admin connection may still hold `control`, so dropping it may not close the ports.
        let _ = self.control.set_down(true);
    }
}
