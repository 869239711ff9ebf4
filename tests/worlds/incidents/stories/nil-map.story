+++
kind = "crash: a map that is never made"
language = "Go"
place = "stock/reserve.go:21"
log = '''
{at} INFO inventory GET /stock/mug 200 1ms
{at} INFO inventory GET /stock/vase 200 1ms
{at} INFO inventory POST /reservations 500 2ms
panic: assignment to entry in nil map

goroutine 41 [running]:
example.org/inventory/stock.(*Stock).Reserve(0xc000012345, {0xc00001a0a8, 0x3}, 0x2)
	/srv/inventory/stock/reserve.go:21 +0x1d2
example.org/inventory/web.handleReserve({0x7f2a40, 0xc0000e8000}, 0xc0000f6000)
	/srv/inventory/web/reserve.go:14 +0xf4
net/http.HandlerFunc.ServeHTTP(0xc000120000, {0x7f2a40, 0xc0000e8000}, 0xc0000f6000)
	/usr/local/go/src/net/http/server.go:2136 +0x29
exit status 2
{at} INFO inventory started
'''

[alert]
alertname = "HighErrorRate"
summary = "inventory answers 12 % of requests with 500"
+++
%% commit Ada: Reserve what is in stock
%% file go.mod
module example.org/inventory

go 1.22
%% file stock/stock.go
// Package stock knows what is there and what of it is reserved.
package stock

// Stock counts pieces by article.
type Stock struct {
	onHand   map[string]int
	reserved map[string]int
}

// New returns a stock with these pieces.
func New(onHand map[string]int) *Stock {
	return &Stock{onHand: onHand, reserved: make(map[string]int)}
}
%% file stock/reserve.go
package stock

import "fmt"

// Free returns how many pieces of an article can still be reserved.
func (s *Stock) Free(sku string) int {
	return s.onHand[sku] - s.reserved[sku]
}

// Reserve keeps pieces of an article for an order.
func (s *Stock) Reserve(sku string, pieces int) error {
	if pieces <= 0 {
		return fmt.Errorf("%d pieces cannot be reserved", pieces)
	}

	free := s.Free(sku)
	if free < pieces {
		return fmt.Errorf("only %d pieces of %s are free", free, sku)
	}

	s.reserved[sku] += pieces
	return nil
}
%% file web/reserve.go
package web

import (
	"net/http"

	"example.org/inventory/stock"
)

var shelves = stock.New(map[string]int{"mug": 40})

func handleReserve(w http.ResponseWriter, r *http.Request) {
	sku := r.FormValue("sku")

	if err := shelves.Reserve(sku, 2); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}
%% commit Cy: Say what the service is
%% file README.md
# Inventory

Knows what is in stock.
%% culprit Bo: Build a stock from its pieces alone
%% edit stock/stock.go
	return &Stock{onHand: onHand, reserved: make(map[string]int)}
%% to
	return &Stock{onHand: onHand}
%% commit Ada: Stock more mugs
%% edit web/reserve.go
var shelves = stock.New(map[string]int{"mug": 40})
%% to
var shelves = stock.New(map[string]int{"mug": 80})
