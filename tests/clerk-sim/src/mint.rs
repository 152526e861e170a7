//! Mints tokens as Clerk does, and invalid ones, from a short specification.

use crate::encoding::{b64u, hex};
use crate::error::{Error, Result};
use crate::keys::KeyStore;
use crate::recipe::signature;
use aws_lc_rs::rand;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The default issuer.
pub const DEFAULT_ISSUER: &str = "https://clerk.example.com";
/// The default authorized party.
pub const DEFAULT_PARTY: &str = "https://app.example.com";

/// The kind of a token.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Session token of version 1: `org_id`, `org_role`, …
    SessionV1,
    /// Session token of version 2: `v: 2`, `o: {…}`
    #[default]
    SessionV2,
    /// Token of a JWT template: no session id
    Template,
    /// OAuth access token as JWT
    OauthJwt,
    /// Machine-to-machine token as JWT
    M2mJwt,
}

/// The defect of an invalid token.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Spoil {
    /// Past its `exp`
    Expired,
    /// Before its `nbf`
    NotYet,
    /// Signed with another key, under the kid of the right one
    WrongKey,
    /// Subject changed after signing
    Tampered,
    /// `alg: none` and no signature
    AlgNone,
}

/// The active organization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Org {
    /// Organization id
    pub id: String,
    /// Slug
    pub slug: Option<String>,
    /// Role, with or without `org:`
    pub role: Option<String>,
    /// Permissions, `org:feature:permission`
    pub permissions: Vec<String>,
    /// More features; `o:` is added if the scope is missing
    pub features: Vec<String>,
}

/// The specification of a token; all members are optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSpec {
    /// Class of the token
    pub kind: Kind,
    /// Subject: user or machine
    pub user: Option<String>,
    /// Session id; derived from the subject by default
    pub sid: Option<String>,
    /// Authorized party
    pub azp: Option<String>,
    /// Audience, a string or an array
    pub aud: Option<Value>,
    /// Issuer
    pub iss: Option<String>,
    /// Seconds from now to `exp`
    pub exp_in: Option<i64>,
    /// Seconds from now to `iat`
    pub iat_in: Option<i64>,
    /// Seconds from now to `nbf`
    pub nbf_in: Option<i64>,
    /// Active organization
    pub org: Option<Org>,
    /// Session status
    pub sts: Option<String>,
    /// Key id in the header; that of the key by default
    pub kid: Option<String>,
    /// Name of the signing key; that of the instance by default
    pub key: Option<String>,
    /// Category in the header; that of the kind by default
    pub cat: Option<String>,
    /// OAuth client
    pub client_id: Option<String>,
    /// Scopes of machine tokens
    pub scopes: Vec<String>,
    /// Added or replaced claims; null removes one
    pub claims: Map<String, Value>,
    /// Added or replaced header members; null removes one
    pub header: Map<String, Value>,
    /// The defect, if any
    pub spoil: Option<Spoil>,
}

impl TokenSpec {
    /// Specifies a token of a kind for a subject.
    pub fn new(kind: Kind, subject: &str) -> TokenSpec {
        TokenSpec { kind, user: Some(subject.to_owned()), ..TokenSpec::default() }
    }

    /// Specifies a session token of version 2.
    pub fn session(user: &str) -> TokenSpec {
        Self::new(Kind::SessionV2, user)
    }

    /// Sets the session id.
    pub fn sid(mut self, sid: &str) -> TokenSpec {
        self.sid = Some(sid.to_owned());
        self
    }

    /// Sets the authorized party.
    pub fn azp(mut self, azp: &str) -> TokenSpec {
        self.azp = Some(azp.to_owned());
        self
    }

    /// Sets the lifetime in seconds.
    pub fn exp_in(mut self, seconds: i64) -> TokenSpec {
        self.exp_in = Some(seconds);
        self
    }

    /// Sets the signing key.
    pub fn key(mut self, name: &str) -> TokenSpec {
        self.key = Some(name.to_owned());
        self
    }

    /// Sets a claim; null removes it.
    pub fn claim(mut self, name: &str, value: Value) -> TokenSpec {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Sets the active organization.
    pub fn org(mut self, org: Org) -> TokenSpec {
        self.org = Some(org);
        self
    }

    /// Makes the token invalid.
    pub fn spoil(mut self, spoil: Spoil) -> TokenSpec {
        self.spoil = Some(spoil);
        self
    }

    fn subject(&self) -> &str {
        let default = if self.kind == Kind::M2mJwt {
            "mch_2simMachine0000000000000001"
        } else {
            "user_2simUser000000000000000001"
        };
        self.user.as_deref().unwrap_or(default)
    }

    /// Mints the token at `now`, in Unix seconds, with `instance_key` unless the specification names a key.
    pub fn mint(&self, keys: &KeyStore, instance_key: &str, now: i64) -> Result<String> {
        let name = self.key.as_deref().unwrap_or(instance_key);
        let key = keys.get(name)?;
        let alg = if self.spoil == Some(Spoil::AlgNone) { "none" } else { key.alg.as_str() };
        let header = self.header_members(alg, self.kid.as_deref().unwrap_or(&key.kid));
        let claims = self.claim_members(now);
        let signing_input =
            [&header, &claims].map(|part| b64u(Value::Object(part.clone()).to_string().as_bytes())).join(".");
        let signer = match self.spoil {
            Some(Spoil::WrongKey) => keys.names().find(|other| {
                *other != name
                    && keys.get(other).is_ok_and(|other| other.alg == key.alg && other.jwk["n"] != key.jwk["n"])
            }),
            _ => Some(name),
        };
        let signer = signer.ok_or_else(|| Error::new("spoil: no other key"))?;
        let signature = b64u(&signature(keys, alg, Some(signer), signing_input.as_bytes())?);
        if self.spoil == Some(Spoil::Tampered) {
            let mut changed = claims;
            changed.insert("sub".to_owned(), json!(format!("{}x", self.subject())));
            let header = signing_input.split('.').next().unwrap_or_default();
            return Ok(format!("{header}.{}.{signature}", b64u(Value::Object(changed).to_string().as_bytes())));
        }
        Ok(format!("{signing_input}.{signature}"))
    }

    fn header_members(&self, alg: &str, kid: &str) -> Map<String, Value> {
        let (cat, typ) = match self.kind {
            Kind::SessionV1 | Kind::SessionV2 => (Some("cl_B7d4PD111AAA"), "JWT"),
            Kind::Template => (Some("cl_B7d4PD222AAA"), "JWT"),
            Kind::M2mJwt => (Some("cl_B7d4PD333AAA"), "JWT"),
            Kind::OauthJwt => (None, "at+jwt"),
        };
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!(alg));
        if let Some(cat) = self.cat.as_deref().or(cat) {
            header.insert("cat".to_owned(), json!(cat));
        }
        header.insert("kid".to_owned(), json!(kid));
        header.insert("typ".to_owned(), json!(typ));
        overlay(header, &self.header)
    }

    fn claim_members(&self, now: i64) -> Map<String, Value> {
        let lifetime = match self.kind {
            Kind::OauthJwt => 86_400,
            Kind::M2mJwt => 3_600,
            _ => 60,
        };
        let (iat_in, exp_in, nbf_in) = match self.spoil {
            Some(Spoil::Expired) => (-lifetime - 600, -600, -lifetime - 610),
            Some(Spoil::NotYet) => (0, 600 + lifetime, 600),
            _ => (0, lifetime, -10),
        };
        let iat = now + self.iat_in.unwrap_or(iat_in);
        let exp = now + self.exp_in.unwrap_or(exp_in);
        let nbf = now + self.nbf_in.unwrap_or(nbf_in + self.iat_in.unwrap_or(0));
        let iss = self.iss.as_deref().unwrap_or(DEFAULT_ISSUER);
        let azp = self.azp.as_deref().unwrap_or(DEFAULT_PARTY);
        let sub = self.subject();
        let jti = random_hex(10);
        let claims = match self.kind {
            Kind::SessionV1 | Kind::SessionV2 => {
                json!({"azp": azp, "exp": exp, "fva": [0, -1], "iat": iat, "iss": iss, "jti": jti, "nbf": nbf,
                       "sid": self.session_id(), "sub": sub})
            }
            Kind::Template => {
                json!({"azp": azp, "exp": exp, "iat": iat, "iss": iss, "jti": jti, "nbf": nbf, "sub": sub})
            }
            Kind::OauthJwt => {
                let client = self.client_id.as_deref().unwrap_or("client_2sim");
                json!({"client_id": client, "exp": exp, "iat": iat, "iss": iss, "jti": format!("oat_{}", random_hex(16)),
                       "nbf": nbf, "scope": self.scopes.join(" "), "sub": sub})
            }
            Kind::M2mJwt => {
                json!({"aud": self.scopes, "exp": exp, "iat": iat, "iss": iss, "jti": format!("mt_{}", random_hex(16)),
                       "nbf": nbf, "scopes": self.scopes.join(" "), "sub": sub})
            }
        };
        let Value::Object(mut claims) = claims else { unreachable!("claims are an object") };
        match self.kind {
            Kind::SessionV1 => self.add_v1(&mut claims),
            Kind::SessionV2 => self.add_v2(&mut claims),
            _ => {}
        }
        if let Some(aud) = &self.aud {
            claims.insert("aud".to_owned(), aud.clone());
        }
        overlay(claims, &self.claims)
    }

    fn session_id(&self) -> String {
        let tail = self.subject().split_once('_').map_or(self.subject(), |(_, tail)| tail);
        self.sid.clone().unwrap_or_else(|| format!("sess_{tail}"))
    }

    fn add_v1(&self, claims: &mut Map<String, Value>) {
        if let Some(org) = &self.org {
            claims.insert("org_id".to_owned(), json!(org.id));
            if let Some(slug) = &org.slug {
                claims.insert("org_slug".to_owned(), json!(slug));
            }
            let role = org.role.as_deref().unwrap_or("org:member");
            claims.insert("org_role".to_owned(), json!(format!("org:{}", role.trim_start_matches("org:"))));
            claims.insert("org_permissions".to_owned(), json!(org.permissions));
        }
        if let Some(sts) = &self.sts {
            claims.insert("sts".to_owned(), json!(sts));
        }
    }

    fn add_v2(&self, claims: &mut Map<String, Value>) {
        let mut features: Vec<String> = Vec::new();
        if let Some(org) = &self.org {
            let mut packed = json!({"id": org.id});
            if let Some(slug) = &org.slug {
                packed["slg"] = json!(slug);
            }
            packed["rol"] = json!(org.role.as_deref().unwrap_or("member").trim_start_matches("org:"));
            features = pack_permissions(org, &mut packed);
            claims.insert("o".to_owned(), packed);
        }
        claims.insert("v".to_owned(), json!(2));
        claims.insert("pla".to_owned(), json!(if self.org.is_some() { "o:free_org" } else { "u:free_user" }));
        claims.insert("fea".to_owned(), json!(features.join(",")));
        claims.insert("sts".to_owned(), json!(self.sts.as_deref().unwrap_or("active")));
    }
}

/// Packs `org:feature:permission` into `per` and one mask per feature in `fpm`. Returns the features.
fn pack_permissions(org: &Org, packed: &mut Value) -> Vec<String> {
    let mut features: Vec<String> = Vec::new();
    let mut permissions: Vec<&str> = Vec::new();
    let mut granted: Vec<(usize, usize)> = Vec::new();
    let index_of = |list: &mut Vec<String>, feature: String| match list.iter().position(|item| *item == feature) {
        Some(index) => index,
        None => {
            list.push(feature);
            list.len() - 1
        }
    };
    for permission in &org.permissions {
        let Some((feature, action)) = permission.trim_start_matches("org:").rsplit_once(':') else { continue };
        let feature = index_of(&mut features, format!("o:{feature}"));
        let action = permissions.iter().position(|item| *item == action).unwrap_or_else(|| {
            permissions.push(action);
            permissions.len() - 1
        });
        granted.push((feature, action));
    }
    for feature in &org.features {
        index_of(&mut features, if feature.contains(':') { feature.clone() } else { format!("o:{feature}") });
    }
    if !permissions.is_empty() {
        let mask = |index: usize| {
            granted.iter().filter(|(feature, _)| *feature == index).fold(0u128, |mask, (_, bit)| mask | 1 << bit)
        };
        let masks: Vec<String> = (0..features.len()).map(|index| mask(index).to_string()).collect();
        packed["per"] = json!(permissions.join(","));
        packed["fpm"] = json!(masks.join(","));
    }
    features
}

fn overlay(mut members: Map<String, Value>, with: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in with {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    members
}

fn random_hex(bytes: usize) -> String {
    let mut raw = vec![0; bytes];
    rand::fill(&mut raw).expect("the system has random bytes");
    hex(&raw)
}
