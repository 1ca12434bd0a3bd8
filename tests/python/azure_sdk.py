"""Microsoft's Python SDK against the emulator: tokens, what it creates, reads, changes and deletes, and how it fails.

usage: azure_sdk.py PATH-OF-apim-agent
"""

import base64
import json
import logging
import os
import unittest

from emulator import DEADLINE, Emulator

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential
from azure.mgmt.apimanagement import ApiManagementClient
from azure.mgmt.apimanagement.models import SubscriptionCreateParameters, SubscriptionUpdateParameters

ARM_SCOPE = "https://management.azure.com/.default"


class AzureSdk(unittest.TestCase):
    """One round through a subscription's life, by endpoint settings and by public names through the proxy."""

    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator()
        os.environ["REQUESTS_CA_BUNDLE"] = cls.emulator.ready["ca_file"]

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def credential(self, assertion):
        ready = self.emulator.ready
        return ClientAssertionCredential(
            ready["tenant_id"], ready["client_id"], assertion,
            authority=ready["authority"], disable_instance_discovery=True,
        )

    def by_settings(self):
        ready = self.emulator.ready
        return ApiManagementClient(
            self.credential(self.emulator.assertion), ready["subscription_id"], base_url=ready["arm"],
            credential_scopes=[ARM_SCOPE],
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
        client.subscription.regenerate_secondary_key(*where, sid)
        third = client.subscription.list_secrets(*where, sid)
        self.assertEqual(second.primary_key, third.primary_key)
        self.assertNotEqual(second.secondary_key, third.secondary_key)

        changed = client.subscription.update(*where, sid, "*", SubscriptionUpdateParameters(display_name="changed"))
        self.assertEqual((changed.display_name, changed.scope), ("changed", made.scope))
        self.assertTrue(client.subscription.get_entity_tag(*where, sid))

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

    def test_a_token_by_federated_assertion(self):
        ready = self.emulator.ready
        token = self.credential(self.emulator.assertion).get_token(ARM_SCOPE)
        segment = token.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        self.assertEqual((claims["tid"], claims["appid"]), (ready["tenant_id"], ready["client_id"]))
        # The SDK counts from when it had the answer.
        self.assertAlmostEqual(token.expires_on, claims["exp"], delta=DEADLINE)

    def test_a_broken_assertion_is_refused_with_entras_code(self):
        with self.assertRaises(ClientAuthenticationError) as refused:
            self.credential(lambda: self.emulator.assertion()[:-8] + "AAAAAAAA").get_token(ARM_SCOPE)
        self.assertRegex(str(refused.exception), r"AADSTS\d+: ")

    def test_a_missing_product_is_refused(self):
        ready = self.emulator.ready
        wanted = SubscriptionCreateParameters(scope="/products/nowhere", display_name="none", state="active")
        with self.assertRaises(HttpResponseError) as refused:
            self.by_settings().subscription.create_or_update(
                ready["resource_group"], ready["service_name"], "sdk-none", wanted,
            )
        self.assertEqual(refused.exception.status_code, 404)
        self.assertEqual(refused.exception.error.code, "ResourceNotFound")

    def test_pages_are_followed(self):
        ready, client = self.emulator.ready, self.by_settings()
        where = (ready["resource_group"], ready["service_name"])
        names = [f"page-{number}" for number in range(5)]
        for name in names:
            wanted = SubscriptionCreateParameters(
                scope=f"/products/{ready['product']}", display_name=name, state="active",
            )
            client.subscription.create_or_update(*where, name, wanted)
        pages = [[entry.name for entry in page] for page in client.subscription.list(*where, top=2).by_page()]
        self.assertTrue(all(len(page) <= 2 for page in pages) and len(pages) >= 3, pages)
        listed = [name for page in pages for name in page]
        self.assertEqual(len(listed), len(set(listed)))
        for name in names:
            self.assertIn(name, listed)
            client.subscription.delete(*where, name, if_match="*")


if __name__ == "__main__":
    # It logs the refusals that are asked for here.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    unittest.main()
