//! What a device signed → whether it holds the key that it names. Pure: the time is an argument.
//!
//! Nothing is remembered of a device: it is never paired and gets no token. A block that is there must hold, so that a
//! client's mistake shows here and not on a gateway that builds on it. Source: contract ws.md §2.6, §8 item 2.

use ed25519_compact::{PublicKey, Signature};

use super::methods::hex;
use crate::limits::{DEVICE_KEY_BYTES, DEVICE_SKEW_MS};
use crate::wire::base64;

/// What a client says of its device, as sent.
#[derive(Debug)]
pub(super) struct Device {
    /// The digest of the key, in hexadecimal digits.
    pub id: String,
    /// The key: base64 of either kind, or PEM.
    pub key: String,
    /// The signature: base64 of either kind.
    pub signature: String,
    /// The challenge's nonce.
    pub nonce: String,
    /// When it signed, in milliseconds since 1970.
    pub signed_at: u64,
}

/// What else stands under the signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'s> {
    /// `client.id`
    pub client: &'s str,
    /// `client.mode`
    pub mode: &'s str,
    /// `role`, or what stands for it.
    pub role: &'s str,
    /// `scopes`, in the order sent.
    pub scopes: &'s [String],
    /// The token sent, as sent; empty when there is none.
    pub token: &'s str,
    /// `client.platform`
    pub platform: &'s str,
    /// `client.deviceFamily`, empty when absent.
    pub family: &'s str,
}

/// What a signature must be about: the challenge, and the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Challenge<'c> {
    /// Its nonce.
    pub nonce: &'c str,
    /// Its time, in milliseconds since 1970.
    pub ts: u64,
    /// The time now, where somebody keeps the clock.
    pub now: Option<u64>,
}

/// What is wrong with a device block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The id is not the digest of the key.
    Id,
    /// The key is no key.
    Key,
    /// The nonce is blank.
    NonceMissing,
    /// The nonce is that of another challenge.
    Nonce,
    /// The signature does not hold.
    Signature,
    /// It was signed too long ago, or will be.
    Stale,
}

impl Flaw {
    /// The message, the detail code, the detail's reason and the log's word. Source: contract ws.md §2.6.
    #[inline(never)]
    pub fn words(self) -> [&'static str; 4] {
        let words = match self {
            Flaw::Id => "device identity mismatch|DEVICE_AUTH_DEVICE_ID_MISMATCH|device-id-mismatch|device_id_mismatch",
            Flaw::Key => {
                "device public key invalid|DEVICE_AUTH_PUBLIC_KEY_INVALID|device-public-key|device_key_invalid"
            }
            Flaw::NonceMissing => {
                "device nonce required|DEVICE_AUTH_NONCE_REQUIRED|device-nonce-missing|device_nonce_missing"
            }
            Flaw::Nonce => {
                "device nonce mismatch|DEVICE_AUTH_NONCE_MISMATCH|device-nonce-mismatch|device_nonce_mismatch"
            }
            Flaw::Signature => {
                "device signature invalid|DEVICE_AUTH_SIGNATURE_INVALID|device-signature|device_signature_invalid"
            }
            Flaw::Stale => {
                "device signature expired|DEVICE_AUTH_SIGNATURE_EXPIRED|device-signature-stale|device_signature_stale"
            }
        };
        let mut words = words.split('|');
        [(); 4].map(|()| words.next().unwrap_or_default())
    }
}

impl Device {
    /// Checks all of it, the cheap things first.
    ///
    /// A device may sign the challenge's own time: then a board without a clock works, and the nonce makes it fresh. It
    /// does so in any case; so where nobody keeps our clock, a device that trusts its own is not told that it is late.
    ///
    /// # Errors
    /// What is wrong.
    #[inline(never)]
    pub fn verify(&self, signed: &Signed<'_>, challenge: &Challenge<'_>) -> Result<(), Flaw> {
        let key = key(&self.key).ok_or(Flaw::Key)?;
        if hex(&hmac_sha256::Hash::hash(&key)) != self.id {
            return Err(Flaw::Id);
        }
        let late = challenge.now.map_or(0, |now| self.signed_at.abs_diff(now));
        if self.signed_at != challenge.ts && late > DEVICE_SKEW_MS {
            return Err(Flaw::Stale);
        }
        match self.nonce.trim() {
            "" => return Err(Flaw::NonceMissing),
            nonce if nonce != challenge.nonce => return Err(Flaw::Nonce),
            _ => {}
        }
        let bytes = base64::decode(self.signature.trim()).ok_or(Flaw::Signature)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| Flaw::Signature)?;
        let key = PublicKey::from_slice(&key).map_err(|_| Flaw::Signature)?;
        let common = self.common(signed, challenge.nonce);
        let lower = |text: &str| text.trim().to_ascii_lowercase();
        let third = ["v3", &common, "|", &lower(signed.platform), "|", &lower(signed.family)].concat();
        let holds = |text: &str| key.verify(text, &signature).is_ok();
        if holds(&third) || holds(&["v2", &common].concat()) { Ok(()) } else { Err(Flaw::Signature) }
    }

    /// What the second version of the signed text says after its name; the third begins with the same.
    #[inline(never)]
    fn common(&self, signed: &Signed<'_>, nonce: &str) -> String {
        let (scopes, at) = (signed.scopes.join(","), self.signed_at.to_string());
        let parts = ["", &self.id, signed.client, signed.mode, signed.role, &scopes, &at, signed.token, nonce];
        parts.join("|")
    }
}

/// The bytes of a key: of any length, so that the id can be judged before the key is.
#[inline(never)]
fn key(text: &str) -> Option<Vec<u8>> {
    /// What stands before the key itself in its PEM form. Source: RFC 8410 §4.
    const INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    if text.len() > DEVICE_KEY_BYTES {
        return None;
    }
    if !text.contains("-----BEGIN") {
        return base64::decode(text.trim());
    }
    let mut lines = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("-----")) {
        lines.push_str(line);
    }
    Some(base64::decode(&lines)?.strip_prefix(&INFO)?.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ed25519_compact::{KeyPair, Seed};

    const NOW: u64 = 1_795_320_000_000;
    const NONCE: &str = "0ebc0245-6d6c-4af0-b519-684f2860b479";
    const CHALLENGE: Challenge<'_> = Challenge { nonce: NONCE, ts: NOW - 500_000, now: Some(NOW) };

    fn pair() -> KeyPair {
        KeyPair::from_seed(Seed::new([7; 32]))
    }

    pub fn signed(scopes: &[String]) -> Signed<'_> {
        let (platform, family) = ("  LiNux", "Pi ");
        Signed { client: "cli", mode: "cli", role: "operator", scopes, token: "t", platform, family }
    }

    /// A device whose block holds, by the text of `version`.
    fn device(version: &str) -> Device {
        let pair = pair();
        let id = hex(&hmac_sha256::Hash::hash(&*pair.pk));
        let mut text = format!("{version}|{id}|cli|cli|operator|a,b|{NOW}|t|{NONCE}");
        if version == "v3" {
            text.push_str("|linux|pi");
        }
        let signature = base64::encode_url(&*pair.sk.sign(text, None));
        Device { id, key: base64::encode_url(&*pair.pk), signature, nonce: NONCE.into(), signed_at: NOW }
    }

    fn check(device: &Device, expected: Result<(), Flaw>) {
        let scopes = ["a".to_owned(), "b".to_owned()];
        assert_eq!(device.verify(&signed(&scopes), &CHALLENGE), expected, "{device:?}");
    }

    #[test]
    fn both_versions_and_every_spelling_of_a_key_hold() {
        let (v2, v3) = (device("v2"), device("v3"));
        check(&v2, Ok(()));
        check(&v3, Ok(()));
        check(&device("v1"), Err(Flaw::Signature));
        let raw = base64::decode(&v3.key).expect("a key");
        let info = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], raw.as_slice()].concat();
        let pem = |bytes: &[u8]| {
            let text = base64::encode(bytes);
            let (first, second) = text.split_at(20);
            format!("-----BEGIN PUBLIC KEY-----\n{first}\r\n{second}\n-----END PUBLIC KEY-----\n")
        };
        for key in [base64::encode(&raw), format!(" {} ", v3.key), pem(&info)] {
            check(&Device { key, ..device("v3") }, Ok(()));
        }
        let signature = base64::encode(&base64::decode(&v3.signature).expect("a signature"));
        check(&Device { signature, ..device("v3") }, Ok(()));
        for key in ["*".to_owned(), "A".repeat(DEVICE_KEY_BYTES + 4), pem(&raw), "-----BEGIN".into()] {
            check(&Device { key, ..device("v3") }, Err(Flaw::Key));
        }
    }

    #[test]
    fn flaws() {
        let good = || device("v3");
        check(&Device { id: good().id.to_ascii_uppercase(), ..good() }, Err(Flaw::Id));
        check(&Device { id: String::new(), ..good() }, Err(Flaw::Id));
        // A key one byte short whose digest is the id: the signature cannot hold (golden "device bad key").
        let short = &base64::decode(&good().key).expect("a key")[..31];
        let id = hex(&hmac_sha256::Hash::hash(short));
        check(&Device { id, key: base64::encode_url(short), ..good() }, Err(Flaw::Signature));
        check(&Device { nonce: " \t".into(), ..good() }, Err(Flaw::NonceMissing));
        check(&Device { nonce: "another".into(), ..good() }, Err(Flaw::Nonce));
        check(&Device { nonce: format!(" {NONCE} "), ..good() }, Ok(()));
        for signature in ["", "AAAA", "?"] {
            check(&Device { signature: signature.into(), ..good() }, Err(Flaw::Signature));
        }
        let other = KeyPair::from_seed(Seed::new([8; 32]));
        let foreign = base64::encode_url(&*other.sk.sign("v3", None));
        check(&Device { signature: foreign, ..good() }, Err(Flaw::Signature));
        let id = hex(&hmac_sha256::Hash::hash(&*other.pk));
        check(&Device { id, key: base64::encode_url(&*other.pk), ..good() }, Err(Flaw::Signature));
        // A key of small order would verify anything.
        let zero = [0_u8; 32];
        let id = hex(&hmac_sha256::Hash::hash(&zero));
        let signature = base64::encode_url(&[0; 64]);
        check(&Device { id, key: base64::encode_url(&zero), signature, ..good() }, Err(Flaw::Signature));
    }

    #[test]
    fn time() {
        // Signed at another time, the signature does not hold; what is asked here is which flaw is found.
        let at = |signed_at: u64, expected: Flaw| check(&Device { signed_at, ..device("v3") }, Err(expected));
        at(NOW - 120_000, Flaw::Signature);
        at(NOW + 120_000, Flaw::Signature);
        at(NOW - 120_001, Flaw::Stale);
        at(NOW + 120_001, Flaw::Stale);
        at(CHALLENGE.ts, Flaw::Signature);
        at(CHALLENGE.ts + 1, Flaw::Stale);
        at(0, Flaw::Stale);
        at(u64::MAX, Flaw::Stale);
        // A clock that nobody keeps judges nobody: what follows is judged as ever.
        let unkept = Challenge { now: None, ..CHALLENGE };
        let scopes = ["a".to_owned(), "b".to_owned()];
        assert_eq!(device("v3").verify(&signed(&scopes), &Challenge { ts: 5, ..unkept }), Ok(()));
        let other = Challenge { nonce: "another", ..unkept };
        assert_eq!(device("v3").verify(&signed(&scopes), &other), Err(Flaw::Nonce));
        for signed_at in [0, 1, u64::MAX] {
            let device = Device { signed_at, ..device("v3") };
            assert_eq!(device.verify(&signed(&scopes), &unkept), Err(Flaw::Signature), "{signed_at}");
        }
    }

    #[test]
    fn every_field_is_signed() {
        let scopes = ["a".to_owned(), "b".to_owned()];
        let turned = ["b".to_owned(), "a".to_owned()];
        let good = signed(&scopes);
        for other in [
            Signed { client: "test", ..good },
            Signed { mode: "test", ..good },
            Signed { role: "node", ..good },
            Signed { scopes: &turned, ..good },
            Signed { token: "t ", ..good },
            Signed { platform: "darwin", ..good },
            Signed { family: "", ..good },
        ] {
            assert_eq!(device("v3").verify(&other, &CHALLENGE), Err(Flaw::Signature), "{other:?}");
        }
    }
}
