package main

import (
	"testing"

	"github.com/clerk-auth/clerk-auth/bindings/go/storetest"
)

func TestCustomers(t *testing.T) { storetest.Run(t, newCustomers()) }
