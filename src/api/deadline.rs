//! The deadline of an exchange, for all that ureq does in it. While it connects, ureq gives each step, and each read of a proxy's
//! response, the whole time.

use std::cell::Cell;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, NextTimeout, Transport};

use super::tcp::{self, TcpTransport};
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
pub fn limited(mut timeout: NextTimeout) -> Result<NextTimeout, Error> {
    if let Some(deadline) = CURRENT.get() {
        let left = deadline.remaining();
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        timeout.after = timeout.after.min(Duration::Exact(left));
    }
    Ok(timeout)
}

/// Makes TCP connections within the deadline.
#[derive(Debug, Default)]
pub struct DeadlineConnector;

impl<In: Transport> Connector<In> for DeadlineConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(Some(match chained {
            Some(transport) => Either::A(transport),
            None => Either::B(tcp::connect(details, limited(details.timeout)?)?),
        }))
    }
}
