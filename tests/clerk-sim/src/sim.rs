//! Starts and ends a simulated API in this process.

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

/// A simulated API. Dropping it closes its ports and connections.
///
/// What can be done with it while it runs is in [`Control`].
pub struct Sim {
    admin: Option<Port>,
    control: Arc<Control>,
}

/// How to start a simulated API.
pub struct Builder {
    listen: SocketAddr,
    https: bool,
    leaf: Leaf,
    admin: Option<SocketAddr>,
    keys: KeyStore,
    state: ApiState,
}

impl Builder {
    /// The address of the API; port 0 lets the kernel choose. HTTPS takes the same host.
    pub fn listen(mut self, addr: SocketAddr) -> Builder {
        self.listen = addr;
        self
    }

    /// Serve HTTPS on a second port.
    pub fn https(mut self, https: bool) -> Builder {
        self.https = https;
        self
    }

    /// The certificate to show there; asks for HTTPS.
    pub fn leaf(mut self, leaf: Leaf) -> Builder {
        self.leaf = leaf;
        self.https(true)
    }

    /// Serve the admin API there.
    pub fn admin(mut self, addr: SocketAddr) -> Builder {
        self.admin = Some(addr);
        self
    }

    /// More keys, beside the built-in ones.
    pub fn keys(mut self, keys: KeyStore) -> Builder {
        self.keys.merge(keys);
        self
    }

    /// The state to start with.
    pub fn state(mut self, state: ApiState) -> Builder {
        self.state = state;
        self
    }

    /// Starts; panics if it cannot.
    pub fn start(self) -> Sim {
        self.try_start().unwrap_or_else(|error| panic!("clerk-sim does not start: {error}"))
    }

    /// Starts, if it can.
    pub fn try_start(self) -> Result<Sim> {
        let shared = Arc::new(Shared::default());
        *lock(&shared.state) = self.state;
        *shared.keys.write().unwrap_or_else(PoisonError::into_inner) = self.keys;
        let serving = shared.clone();
        let http = Port::open(self.listen, move |stream| {
            serving.stats.connected();
            serving.serve(Conn::Plain(stream));
        })?;
        let (mut https, mut ca_pem) = (None, None);
        if self.https {
            let (config, authority) = tls::server_config(self.leaf)?;
            let serving = shared.clone();
            https = Some(Port::open(SocketAddr::new(self.listen.ip(), 0), move |stream| {
                serving.stats.connected();
                match Conn::with_tls(stream, config.clone()) {
                    Ok(conn) => serving.serve(conn),
                    Err(_) => serving.stats.handshake_failed(),
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
    /// Starts one with the built-in keys and an empty instance.
    pub fn start() -> Sim {
        Self::builder().start()
    }

    /// Starts one otherwise.
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

    /// Base URL of the admin API, if there is one.
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
        // An admin connection may still hold the control, so dropping it might not close the ports.
        let _ = self.control.set_down(true);
    }
}
