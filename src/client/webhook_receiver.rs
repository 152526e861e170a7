//! Which webhook deliveries are accepted: signed by Clerk, of this instance, and not processed before.

use std::hash::RandomState;
use std::sync::Arc;

use crate::cache::Cache;
use crate::clock::Now;
use crate::error::{Cause, Error, ErrorKind};
use crate::reason::Reason;
use crate::users::{StoreError, SyncError};
use crate::webhooks::{Headers, SigningKeys, TOLERANCE_S, WebhookError, WebhookEvent, verify};

/// The outcome of a webhook delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum WebhookOutcome {
    /// It was applied.
    Applied,
    /// It was processed before, is about another instance, or has no effect here.
    Ignored,
    /// It is not a valid delivery from Clerk.
    Rejected(WebhookError),
    /// The user store, Clerk or a required shared cache failed, or the same delivery is being processed: it has to come again.
    Failed(SyncError),
}

impl WebhookOutcome {
    /// Returns what failed.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        match self {
            WebhookOutcome::Failed(SyncError::Rejected(Reason::SharedCacheUnavailable)) => {
                Some("the revocation could not be stored in the shared cache")
            }
            WebhookOutcome::Failed(_) => Some("the user's row could not be updated"),
            _ => None,
        }
    }

    /// Returns an error unless the delivery was applied or ignored: of the kind `Rejected` (respond with 400), or
    /// `Unavailable` (respond with 503, so that the event is delivered again).
    ///
    /// # Errors
    ///
    /// An [`Error`] with the [`WebhookError`] or the failure of the user store as its source.
    pub fn into_result(self) -> Result<(), Error> {
        let failed = self.failure().unwrap_or_default();
        match self {
            WebhookOutcome::Applied | WebhookOutcome::Ignored => Ok(()),
            WebhookOutcome::Rejected(error) => {
                Err(Error::new(ErrorKind::Rejected, "webhook delivery rejected").with_source(error))
            }
            WebhookOutcome::Failed(SyncError::Store(StoreError::Failed { code, message })) => {
                Err(Error::new(ErrorKind::Unavailable, failed).with_source(Cause::UserStore { code, message }))
            }
            WebhookOutcome::Failed(error) => Err(Error::new(ErrorKind::Unavailable, failed).with_source(error)),
        }
    }
}

/// Maximum number of recorded deliveries: at a hundred a second, those of the ten minutes in which one can be repeated.
const MAX_DELIVERIES: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InProgress,
    Processed,
}

type Deliveries = Cache<Box<str>, State, RandomState>;

/// Signing keys, and the ids of deliveries.
pub(super) struct WebhookReceiver {
    signing_keys: SigningKeys,
    instance_id: Option<String>,
    deliveries: Arc<Deliveries>,
}

/// Reserves a delivery for one thread. If dropped without [`Self::mark_processed`], Clerk must send the delivery again.
pub(super) struct Reservation {
    deliveries: Arc<Deliveries>,
    id: Box<str>,
    now: Now,
    is_processed: bool,
}

impl Reservation {
    /// Returns the id of the delivery.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Records that the delivery must not be applied again.
    pub fn mark_processed(mut self) {
        self.is_processed = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_processed {
            self.deliveries.put(self.id.clone(), State::Processed, expires_ms(self.now), self.now.mono_ms);
        } else {
            self.deliveries.remove_if(&*self.id, |state| *state == State::InProgress);
        }
    }
}

fn expires_ms(now: Now) -> i64 {
    now.mono_ms.saturating_add(2 * TOLERANCE_S * 1000)
}

impl WebhookReceiver {
    pub fn new(signing_keys: SigningKeys, instance_id: Option<String>) -> Self {
        let deliveries = Arc::new(Cache::new(MAX_DELIVERIES, RandomState::new()));
        WebhookReceiver { signing_keys, instance_id, deliveries }
    }

    /// Verifies a delivery. Returns its event and a reservation if it has to be applied.
    pub fn receive(
        &self,
        headers: &Headers<'_>,
        body: &[u8],
        now: Now,
    ) -> Result<(Reservation, WebhookEvent), WebhookOutcome> {
        let delivery = verify(&self.signing_keys, headers, body, now.wall_ms.div_euclid(1000))
            .map_err(WebhookOutcome::Rejected)?;
        let reservation = self.reserve(delivery.id, now)?;
        let event = delivery.event().map_err(WebhookOutcome::Rejected)?;
        match &self.instance_id {
            Some(own) if event.instance_id.as_ref() != Some(own) => {
                reservation.mark_processed();
                Err(WebhookOutcome::Ignored)
            }
            _ => Ok((reservation, event.event)),
        }
    }

    fn reserve(&self, id: &str, now: Now) -> Result<Reservation, WebhookOutcome> {
        let mut known = None;
        let put = self.deliveries.put_if(id.into(), State::InProgress, expires_ms(now), now.mono_ms, |state| {
            known = state.copied();
            known.is_none()
        });
        match (put, known) {
            (Ok(_), _) => {
                Ok(Reservation { deliveries: self.deliveries.clone(), id: id.into(), now, is_processed: false })
            }
            (Err(_), Some(State::Processed)) => Err(WebhookOutcome::Ignored),
            (Err(_), _) => {
                let error = StoreError::failed(0, "the delivery is being processed");
                Err(WebhookOutcome::Failed(SyncError::Store(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::config::Secret;

    const NOW: Now = Now { wall_ms: 1_800_000_000_000, mono_ms: 0 };

    fn reserve(
        receiver: &WebhookReceiver,
        id: &str,
        body: &str,
    ) -> Result<(Reservation, WebhookEvent), WebhookOutcome> {
        reserve_at(receiver, id, body, 0, NOW)
    }

    /// Of a delivery whose timestamp is `ahead_s` after the usual one.
    fn reserve_at(
        receiver: &WebhookReceiver,
        id: &str,
        body: &str,
        ahead_s: i64,
        now: Now,
    ) -> Result<(Reservation, WebhookEvent), WebhookOutcome> {
        let timestamp = (NOW.wall_ms / 1000 + ahead_s).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag));
        let mut headers = Headers::default();
        for (name, value) in [("svix-id", id), ("svix-timestamp", &timestamp), ("svix-signature", &signature)] {
            headers.header(name.as_bytes(), value.as_bytes());
        }
        receiver.receive(&headers, body.as_bytes(), now)
    }

    fn receive(receiver: &WebhookReceiver, id: &str, body: &str) -> Result<WebhookEvent, WebhookOutcome> {
        reserve(receiver, id, body).map(|(_, event)| event)
    }

    fn receiver(instance_id: Option<&str>) -> WebhookReceiver {
        let keys = SigningKeys::parse(&[Secret::new("whsec_c2VjcmV0")]).unwrap();
        WebhookReceiver::new(keys, instance_id.map(str::to_owned))
    }

    #[test]
    fn processed_delivery_is_ignored() {
        let (receiver, body) = (receiver(None), r#"{"type":"role.updated","data":{}}"#);
        assert_eq!(receive(&receiver, "msg_1", body), Ok(WebhookEvent::RolesChanged));
        // Not processed until it is marked.
        assert_eq!(receive(&receiver, "msg_1", body), Ok(WebhookEvent::RolesChanged));
        let Ok((reservation, _)) = reserve(&receiver, "msg_1", body) else { panic!() };
        reservation.mark_processed();
        assert_eq!(receive(&receiver, "msg_1", body), Err(WebhookOutcome::Ignored));
        assert_eq!(receive(&receiver, "msg_2", body), Ok(WebhookEvent::RolesChanged));
        let rejected = Err(WebhookOutcome::Rejected(WebhookError::InvalidPayload));
        assert_eq!(receive(&receiver, "msg_3", "{}"), rejected);
    }

    #[test]
    fn delivery_of_the_future_is_ignored_until_its_timestamp_is_too_old() {
        let (receiver, body) = (receiver(None), r#"{"type":"role.updated","data":{}}"#);
        let receive = |seconds: i64| {
            let now = Now { wall_ms: NOW.wall_ms + seconds * 1000, mono_ms: seconds * 1000 };
            reserve_at(&receiver, "msg_1", body, 300, now)
        };
        receive(0).unwrap_or_else(|_| panic!()).0.mark_processed();
        assert_eq!(receive(599).err(), Some(WebhookOutcome::Ignored));
        assert_eq!(receive(601).err(), Some(WebhookOutcome::Rejected(WebhookError::TimestampOutOfTolerance)));
    }

    #[test]
    fn delivery_in_progress_is_refused_until_it_ends() {
        let (receiver, body) = (receiver(None), r#"{"type":"role.updated","data":{}}"#);
        let Ok((reservation, _)) = reserve(&receiver, "msg_1", body) else { panic!() };
        for _ in 0..2 {
            assert!(matches!(receive(&receiver, "msg_1", body), Err(WebhookOutcome::Failed(_))));
        }
        assert!(receive(&receiver, "msg_2", body).is_ok());
        drop(reservation);
        assert!(receive(&receiver, "msg_1", body).is_ok());
    }

    #[test]
    fn delivery_of_another_instance_is_ignored() {
        let receiver = receiver(Some("ins_own"));
        let body = |member: &str| format!(r#"{{"type":"role.updated","data":{{}}{member}}}"#);
        assert!(receive(&receiver, "msg_1", &body(r#","instance_id":"ins_own""#)).is_ok());
        for other in ["", r#","instance_id":"ins_other""#] {
            assert_eq!(receive(&receiver, "msg_2", &body(other)), Err(WebhookOutcome::Ignored));
        }
    }
}
