//! RS256 tokens: signing keys, JWKS, verification. Used by the issuer, Entra, ARM and the gateway.
