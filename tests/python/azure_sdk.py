"""Microsoft's Python SDK against the emulator: what it creates, reads, changes and deletes, and how it fails.

usage: azure_sdk.py PATH-OF-apim-agent
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential
from azure.mgmt.apimanagement import ApiManagementClient
from azure.mgmt.apimanagement.models import SubscriptionCreateParameters

BINARY = os.path.abspath(sys.argv.pop(1))
DEADLINE = 60


class Emulator:
    """The emulator as a child process, from its ready file on."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        ready = os.path.join(self.folder.name, "ready.json")
        self.process = subprocess.Popen(
            [BINARY, "emulator", "--ready-file", ready],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        # The ready file appears whole; the emulator says so on stdout.
        for line in self.process.stdout:
            if os.path.exists(ready):
                break
            print("emulator:", line, end="")
        with open(ready, encoding="utf-8") as file:
            self.ready = json.load(file)

    def assertion(self):
        with open(self.ready["assertion_file"], encoding="utf-8") as file:
            return file.read().strip()

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=DEADLINE)
        self.folder.cleanup()


class AzureSdk(unittest.TestCase):
    """One round through a subscription's life, by endpoint settings and by public names through the proxy."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator()
        os.environ["REQUESTS_CA_BUNDLE"] = cls.emulator.ready["ca_file"]

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def by_settings(self):
        ready = self.emulator.ready
        credential = ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], self.emulator.assertion,
            authority=ready["authority"], disable_instance_discovery=True,
        )
        return ApiManagementClient(
            credential, ready["subscription_id"], base_url=ready["arm"],
            credential_scopes=["https://management.azure.com/.default"],
        )

    def by_public_names(self):
        ready = self.emulator.ready
        proxies = {"https": ready["proxy"]}
        credential = ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], self.emulator.assertion, proxies=proxies,
        )
        return ApiManagementClient(credential, ready["subscription_id"], proxies=proxies)

    def life_of_a_subscription(self, client, sid):
        ready = self.emulator.ready
        where = (ready["resource_group"], ready["service_name"])
        wanted = SubscriptionCreateParameters(
            scope=f"/products/{ready['product']}", display_name=f"SDK {sid}", state="active",
        )
        made = client.subscription.create_or_update(*where, sid, wanted)
        self.assertEqual((made.name, made.state), (sid, "active"))
        self.assertIsNone(made.primary_key)

        first = client.subscription.list_secrets(*where, sid)
        self.assertTrue(first.primary_key and first.secondary_key)
        client.subscription.regenerate_primary_key(*where, sid)
        second = client.subscription.list_secrets(*where, sid)
        self.assertNotEqual(first.primary_key, second.primary_key)
        self.assertEqual(first.secondary_key, second.secondary_key)

        self.assertIn(sid, [entry.name for entry in client.subscription.list(*where)])
        client.subscription.delete(*where, sid, if_match="*")
        self.assertNotIn(sid, [entry.name for entry in client.subscription.list(*where)])
        with self.assertRaises(ResourceNotFoundError) as missing:
            client.subscription.get(*where, sid)
        self.assertEqual(missing.exception.error.code, "ResourceNotFound")

    def test_by_settings(self):
        self.life_of_a_subscription(self.by_settings(), "sdk-settings")

    def test_by_public_names_through_the_proxy(self):
        self.life_of_a_subscription(self.by_public_names(), "sdk-proxy")

    def test_a_missing_product_is_refused(self):
        ready = self.emulator.ready
        wanted = SubscriptionCreateParameters(scope="/products/nowhere", display_name="none", state="active")
        with self.assertRaises(HttpResponseError) as refused:
            self.by_settings().subscription.create_or_update(
                ready["resource_group"], ready["service_name"], "sdk-none", wanted,
            )
        self.assertIn(refused.exception.status_code, (400, 404))

    def test_pages_are_followed(self):
        ready, client = self.emulator.ready, self.by_settings()
        where = (ready["resource_group"], ready["service_name"])
        names = [f"page-{number}" for number in range(5)]
        for name in names:
            wanted = SubscriptionCreateParameters(
                scope=f"/products/{ready['product']}", display_name=name, state="active",
            )
            client.subscription.create_or_update(*where, name, wanted)
        listed = [entry.name for entry in client.subscription.list(*where, top=2)]
        for name in names:
            self.assertIn(name, listed)
            client.subscription.delete(*where, name, if_match="*")


if __name__ == "__main__":
    unittest.main()
