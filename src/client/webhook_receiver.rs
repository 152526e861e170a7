//! Which webhook deliveries are accepted: signed by Clerk, of this instance, and not processed before.

use std::hash::RandomState;

use crate::cache::Cache;
use crate::clock::Now;
use crate::users::SyncError;
use crate::webhooks::{Headers, SigningKeys, TOLERANCE_S, WebhookError, WebhookEvent, verify};

/// The outcome of a webhook delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// It was applied.
    Applied,
    /// It was processed before, is about another instance, or has no effect here.
    Ignored,
    /// It is not a valid delivery from Clerk.
    Rejected(WebhookError),
    /// The user store failed; the event has to be delivered again.
    Failed(SyncError),
}

/// Signing keys, and the ids of processed deliveries.
pub(super) struct WebhookReceiver {
    signing_keys: SigningKeys,
    instance_id: Option<String>,
    processed_ids: Cache<Box<str>, (), RandomState>,
}

impl WebhookReceiver {
    pub fn new(signing_keys: SigningKeys, instance_id: Option<String>, capacity: usize) -> Self {
        WebhookReceiver { signing_keys, instance_id, processed_ids: Cache::new(capacity, RandomState::new()) }
    }

    /// Verifies a delivery. Returns its id and its event if it has to be applied.
    pub fn receive(
        &self,
        headers: &Headers<'_>,
        body: &[u8],
        now: Now,
    ) -> Result<(Box<str>, WebhookEvent), WebhookOutcome> {
        let delivery = verify(&self.signing_keys, headers, body, now.wall_ms.div_euclid(1000))
            .map_err(WebhookOutcome::Rejected)?;
        if self.processed_ids.get(delivery.id, now.mono_ms).is_some() {
            return Err(WebhookOutcome::Ignored);
        }
        let event = delivery.event().map_err(WebhookOutcome::Rejected)?;
        let id: Box<str> = delivery.id.into();
        match &self.instance_id {
            Some(own) if event.instance_id.as_ref() != Some(own) => {
                self.mark_processed(id, now);
                Err(WebhookOutcome::Ignored)
            }
            _ => Ok((id, event.event)),
        }
    }

    /// Records that a delivery must not be applied again.
    pub fn mark_processed(&self, id: Box<str>, now: Now) {
        self.processed_ids.put(id, (), now.mono_ms.saturating_add(2 * TOLERANCE_S * 1000), now.mono_ms);
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

    fn receive(receiver: &WebhookReceiver, id: &str, body: &str) -> Result<WebhookEvent, WebhookOutcome> {
        let timestamp = (NOW.wall_ms / 1000).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag));
        let mut headers = Headers::default();
        for (name, value) in [("svix-id", id), ("svix-timestamp", &timestamp), ("svix-signature", &signature)] {
            headers.header(name.as_bytes(), value.as_bytes());
        }
        receiver.receive(&headers, body.as_bytes(), NOW).map(|(_, event)| event)
    }

    fn receiver(instance_id: Option<&str>) -> WebhookReceiver {
        let keys = SigningKeys::parse(&[Secret::new("whsec_c2VjcmV0")]).unwrap();
        WebhookReceiver::new(keys, instance_id.map(str::to_owned), 10)
    }

    #[test]
    fn processed_delivery_is_ignored() {
        let (receiver, body) = (receiver(None), r#"{"type":"role.updated","data":{}}"#);
        assert_eq!(receive(&receiver, "msg_1", body), Ok(WebhookEvent::RolesChanged));
        // Not processed until it is marked.
        assert_eq!(receive(&receiver, "msg_1", body), Ok(WebhookEvent::RolesChanged));
        receiver.mark_processed("msg_1".into(), NOW);
        assert_eq!(receive(&receiver, "msg_1", body), Err(WebhookOutcome::Ignored));
        assert_eq!(receive(&receiver, "msg_2", body), Ok(WebhookEvent::RolesChanged));
        let rejected = Err(WebhookOutcome::Rejected(WebhookError::InvalidPayload));
        assert_eq!(receive(&receiver, "msg_3", "{}"), rejected);
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
