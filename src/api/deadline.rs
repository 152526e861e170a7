//! The deadline of an exchange, for all that ureq does in it. While it connects, ureq gives each step, and each read of a proxy's
//! response, the whole time.

use std::cell::Cell;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, TcpConnector, Transport,
};

use crate::clock::Deadline;

thread_local! {
    /// Of the exchange of this thread. A connection is used by several, one after the other.
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// Runs an exchange. Its connections, reads and writes end at the deadline.
pub fn within<T>(deadline: Deadline, exchange: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    CURRENT.set(Some(deadline));
    let _reset = Reset;
    exchange()
}

/// Returns the timeout, or what is left until the deadline.
fn limited(mut timeout: NextTimeout) -> Result<NextTimeout, Error> {
    if let Some(deadline) = CURRENT.get() {
        let left = deadline.remaining();
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        timeout.after = timeout.after.min(Duration::Exact(left));
    }
    Ok(timeout)
}

type Connection = <TcpConnector as Connector<()>>::Out;

/// Makes TCP connections within the deadline.
#[derive(Debug, Default)]
pub struct DeadlineConnector(TcpConnector);

impl<In: Transport> Connector<In> for DeadlineConnector {
    type Out = Either<In, DeadlineTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: (details.current_time)(),
            timeout: limited(details.timeout)?,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let connection: Option<Connection> = self.0.connect(&details, None)?;
        Ok(connection.map(|connection| Either::B(DeadlineTransport(connection))))
    }
}

/// A TCP connection whose reads and writes end at the deadline of the exchange.
#[derive(Debug)]
pub struct DeadlineTransport(Connection);

impl Transport for DeadlineTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, limited(timeout)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(limited(timeout)?)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}
