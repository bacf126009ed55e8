#!/usr/bin/python3
"""The client of the design document, unchanged; the lines at the end let a test drive it."""
import sys

import dbus


class AptOstreeClient:
    def __init__(self):
        self.bus = dbus.SystemBus()
        self.daemon = self.bus.get_object(
            'org.debian.aptostree1',
            '/org/debian/aptostree1'
        )

    def install_packages(self, packages):
        """Install packages via daemon"""
        method = self.daemon.get_dbus_method('Install', 'org.debian.aptostree1')
        transaction_id = method(packages)
        return transaction_id

    def get_status(self):
        """Get system status via daemon"""
        method = self.daemon.get_dbus_method('Status', 'org.debian.aptostree1')
        status = method()
        return status


if __name__ == '__main__':
    client = AptOstreeClient()
    print(client.get_status() if sys.argv[1] == 'status' else client.install_packages(sys.argv[2:]))
