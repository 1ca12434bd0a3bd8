"""Microsoft's Python clients of Key Vault against the emulator: what they read, write and delete, and how they fail.

usage: key_vault.py PATH-OF-apim-agent
"""

import base64
import datetime
import logging
import os
import time
import unittest

from emulator import Emulator

from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError,
)
from azure.identity import ClientAssertionCredential
from azure.keyvault.certificates import CertificateClient, CertificateContentType, CertificatePolicy
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

PUBLIC = "https://kv-emulator.vault.azure.net"


def self_signed(key):
    """A certificate for a year from an hour ago."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made by a test")])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=365))
    return builder.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())


class StaticCredential:
    """Always the same token, whatever is asked for."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_scopes, **_options):
        return AccessToken(self.token, int(time.time()) + 3600)


class KeyVault(unittest.TestCase):
    """Each client directly, with challenge verification off, and by public names through the proxy, with it on."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator()
        os.environ["REQUESTS_CA_BUNDLE"] = cls.emulator.ready["ca_file"]

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def credential(self):
        ready = self.emulator.ready
        return ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], self.emulator.assertion,
            authority=ready["authority"], disable_instance_discovery=True,
        )

    def by_settings(self, client):
        return client(self.emulator.ready["key_vault"], self.credential(), verify_challenge_resource=False)

    def by_public_names(self, client):
        ready = self.emulator.ready
        proxies = {"https": ready["proxy"]}
        credential = ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], self.emulator.assertion, proxies=proxies,
        )
        return client(PUBLIC, credential, proxies=proxies)

    def life_of_a_secret(self, client, name):
        first = client.set_secret(name, "one", content_type="text", tags={"a": "b"})
        second = client.set_secret(name, "two")
        got = client.get_secret(name)
        self.assertEqual((got.value, got.properties.version), ("two", second.properties.version))
        old = client.get_secret(name, first.properties.version)
        self.assertEqual((old.value, old.properties.content_type, old.properties.tags), ("one", "text", {"a": "b"}))
        versions = {entry.version for entry in client.list_properties_of_secret_versions(name)}
        self.assertEqual(versions, {first.properties.version, second.properties.version})
        self.assertIn(name, [entry.name for entry in client.list_properties_of_secrets()])

        self.assertFalse(client.update_secret_properties(name, enabled=False).enabled)
        with self.assertRaises(HttpResponseError) as disabled:
            client.get_secret(name)
        self.assertEqual(disabled.exception.status_code, 403)
        self.assertIn("Operation get is not allowed on a disabled secret.", disabled.exception.message)
        client.update_secret_properties(name, enabled=True)

        deleted = client.begin_delete_secret(name).result()
        self.assertEqual(deleted.scheduled_purge_date - deleted.deleted_date, datetime.timedelta(days=90))
        with self.assertRaises(ResourceNotFoundError) as missing:
            client.get_secret(name)
        self.assertIn("SecretNotFound", str(missing.exception))
        with self.assertRaises(ResourceExistsError) as taken:
            client.set_secret(name, "three")
        self.assertIn("deleted but recoverable", taken.exception.message)
        self.assertIn(name, [entry.name for entry in client.list_deleted_secrets()])
        client.begin_recover_deleted_secret(name).wait()
        self.assertEqual(client.get_secret(name).value, "two")
        client.begin_delete_secret(name).wait()
        client.purge_deleted_secret(name)
        with self.assertRaises(ResourceNotFoundError):
            client.get_deleted_secret(name)

    def test_secrets_by_settings(self):
        self.life_of_a_secret(self.by_settings(SecretClient), "sdk-settings")

    def test_secrets_by_public_names_through_the_proxy(self):
        self.life_of_a_secret(self.by_public_names(SecretClient), "sdk-proxy")

    def life_of_a_certificate(self, certificates, secrets, name):
        pem_policy = CertificatePolicy(issuer_name="Unknown", content_type=CertificateContentType.pem)
        key = ec.generate_private_key(ec.SECP256R1())
        made = self_signed(key)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
        ) + made.public_bytes(serialization.Encoding.PEM)
        first = certificates.import_certificate(name, pem, policy=pem_policy)
        self.assertEqual(first.properties.x509_thumbprint, made.fingerprint(hashes.SHA1()))
        self.assertEqual(secrets.get_secret(name).value.encode(), pem)

        # The next version as PKCS#12, with another kind of key.
        key = rsa.generate_private_key(65537, 2048)
        made = self_signed(key)
        protection = serialization.BestAvailableEncryption(b"password")
        pfx = pkcs12.serialize_key_and_certificates(b"it", key, made, None, protection)
        with self.assertRaises(HttpResponseError) as refused:
            certificates.import_certificate(name, pfx, password="wrong")
        self.assertEqual((refused.exception.status_code, refused.exception.error.code), (400, "BadParameter"))
        second = certificates.import_certificate(name, pfx, password="password")
        self.assertEqual(bytes(second.cer), made.public_bytes(serialization.Encoding.DER))
        secret = secrets.get_secret(name)
        self.assertEqual((secret.properties.content_type, secret.properties.managed), ("application/x-pkcs12", True))
        self.assertEqual(secret.properties.version, second.properties.version)
        read_key, read_certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret.value), None)
        self.assertEqual((read_key.private_numbers(), read_certificate), (key.private_numbers(), made))

        got = certificates.get_certificate(name)
        self.assertEqual((got.id, got.policy.key_type, got.policy.key_size), (second.id, "RSA", 2048))
        self.assertEqual(got.policy.subject, "CN=made by a test")
        old = certificates.get_certificate_version(name, first.properties.version)
        self.assertEqual(old.cer, first.cer)
        versions = {entry.version for entry in certificates.list_properties_of_certificate_versions(name)}
        self.assertEqual(versions, {first.properties.version, second.properties.version})
        self.assertIn(name, [entry.name for entry in certificates.list_properties_of_certificates()])

        certificates.begin_delete_certificate(name).wait()
        with self.assertRaises(ResourceNotFoundError) as missing:
            certificates.get_certificate(name)
        self.assertEqual(missing.exception.error.code, "CertificateNotFound")
        with self.assertRaises(ResourceNotFoundError):
            secrets.get_secret(name)
        certificates.begin_recover_deleted_certificate(name).wait()
        self.assertEqual(secrets.get_secret(name).value, secret.value)
        certificates.begin_delete_certificate(name).wait()
        certificates.purge_deleted_certificate(name)

    def test_certificates_by_settings(self):
        clients = self.by_settings(CertificateClient), self.by_settings(SecretClient)
        self.life_of_a_certificate(*clients, "cert-settings")

    def test_certificates_by_public_names_through_the_proxy(self):
        clients = self.by_public_names(CertificateClient), self.by_public_names(SecretClient)
        self.life_of_a_certificate(*clients, "cert-proxy")

    def test_what_is_there_from_the_start(self):
        ready = self.emulator.ready
        secrets = self.by_settings(SecretClient)
        self.assertTrue(secrets.get_secret(ready["secret_name"]).value)
        pem = secrets.get_secret(ready["certificate_name"]).value.encode()
        key = serialization.load_pem_private_key(pem, None)
        leaf, authority = x509.load_pem_x509_certificates(pem)
        self.assertEqual(leaf.public_key(), key.public_key())
        leaf.verify_directly_issued_by(authority)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usage), [x509.ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = self.by_settings(CertificateClient).get_certificate(ready["certificate_name"])
        self.assertEqual(bytes(certificate.cer), leaf.public_bytes(serialization.Encoding.DER))

    def test_pages_are_followed(self):
        client = self.by_public_names(SecretClient)
        names = [f"page-{number}" for number in range(5)]
        for name in names:
            client.set_secret(name, name)
        pages = [[entry.name for entry in page] for page in client.list_properties_of_secrets(max_page_size=2).by_page()]
        self.assertTrue(all(len(page) <= 2 for page in pages) and len(pages) >= 3, pages)
        listed = [name for page in pages for name in page]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertLessEqual(set(names), set(listed))

    def test_the_client_itself_refuses_a_challenge_for_another_domain(self):
        client = SecretClient(self.emulator.ready["key_vault"], self.credential())
        with self.assertRaises(ValueError) as refused:
            client.get_secret(self.emulator.ready["secret_name"])
        self.assertIn("does not match the requested domain", str(refused.exception))

    def test_a_token_for_another_audience_is_refused(self):
        token = self.credential().get_token("https://management.azure.com/.default").token
        client = SecretClient(
            self.emulator.ready["key_vault"], StaticCredential(token), verify_challenge_resource=False,
        )
        with self.assertRaises(ClientAuthenticationError) as refused:
            client.get_secret(self.emulator.ready["secret_name"])
        self.assertIn("AKV10022: Invalid audience.", refused.exception.message)

    def test_without_the_data_action_the_role_is_named(self):
        emulator = Emulator("--data-action", "Microsoft.KeyVault/vaults/secrets/getSecret/action")
        self.addCleanup(emulator.stop)
        ready = emulator.ready
        # Two emulators, two authorities.
        self.addCleanup(os.environ.__setitem__, "REQUESTS_CA_BUNDLE", self.emulator.ready["ca_file"])
        os.environ["REQUESTS_CA_BUNDLE"] = ready["ca_file"]
        credential = ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], emulator.assertion,
            authority=ready["authority"], disable_instance_discovery=True,
        )
        client = SecretClient(ready["key_vault"], credential, verify_challenge_resource=False)
        client.get_secret(ready["secret_name"])
        with self.assertRaises(HttpResponseError) as refused:
            client.set_secret(ready["secret_name"], "mine")
        self.assertEqual(refused.exception.status_code, 403)
        self.assertIn("Action: 'Microsoft.KeyVault/vaults/secrets/setSecret/action'", refused.exception.message)
        self.assertIn("ForbiddenByRbac", str(refused.exception))


if __name__ == "__main__":
    # It logs the refusals that are asked for here.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    unittest.main()
