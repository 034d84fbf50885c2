//! Signatures of tokens, checked by the provider that TLS has.

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtVerifier};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use ring::{error::Unspecified, hmac};
use signature::Verifier;

/// Has tokens checked by ring. Once it is done, it is done.
pub(super) fn install() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |algorithm, key| {
            Ok(Box::new(Check {
                algorithm: *algorithm,
                key: key.clone(),
            }))
        },
        jwk_utils: JwkUtils {
            extract_rsa_public_key_components: |_| Err(unused()),
            extract_ec_public_key_coordinates: |_, _| Err(unused()),
            compute_digest: |_, _| Vec::new(),
        },
    };
    // Another route has done it.
    let _ = RING.install_default();
}

/// What is for who signs.
fn unused() -> Error {
    ErrorKind::InvalidKeyFormat.into()
}

struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Check {
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        match self.algorithm {
            Algorithm::HS256 => self.by_secret(hmac::HMAC_SHA256, message, signature),
            Algorithm::HS384 => self.by_secret(hmac::HMAC_SHA384, message, signature),
            Algorithm::HS512 => self.by_secret(hmac::HMAC_SHA512, message, signature),
            Algorithm::RS256 => self.by_rsa(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Algorithm::RS384 => self.by_rsa(&RSA_PKCS1_2048_8192_SHA384, message, signature),
            Algorithm::RS512 => self.by_rsa(&RSA_PKCS1_2048_8192_SHA512, message, signature),
            Algorithm::PS256 => self.by_rsa(&RSA_PSS_2048_8192_SHA256, message, signature),
            Algorithm::PS384 => self.by_rsa(&RSA_PSS_2048_8192_SHA384, message, signature),
            Algorithm::PS512 => self.by_rsa(&RSA_PSS_2048_8192_SHA512, message, signature),
            Algorithm::ES256 => self.by_key(&ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::ES384 => self.by_key(&ECDSA_P384_SHA384_FIXED, message, signature),
            Algorithm::EdDSA => self.by_key(&ED25519, message, signature),
        }
    }

    fn by_secret(
        &self,
        algorithm: hmac::Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Unspecified> {
        let secret = self.key.try_get_hmac_secret().map_err(|_| Unspecified)?;
        hmac::verify(&hmac::Key::new(algorithm, secret), message, signature)
    }

    fn by_rsa(
        &self,
        algorithm: &'static RsaParameters,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Unspecified> {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(_) => self.by_key(algorithm, message, signature),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature)
            }
        }
    }

    fn by_key(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Unspecified> {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(key) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { .. } => Err(Unspecified),
        }
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let checked = self.check(message, signature);
        checked.map_err(|Unspecified| signature::Error::new())
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
