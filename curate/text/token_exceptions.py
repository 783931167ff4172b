"""Strings that spaCy's English tokenizer does not cut, or cuts in places of its own (spaCy 3.8.18, MIT licence).

From ``spacy.blank("en").tokenizer.rules``: abbreviations, contractions, emoticons.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CUT", "SIGNED", "SIGNED_CUT", "WHOLE"]

WHOLE: Final = r"""
-_- -__- 0.0 0.o 0_0 0_o 8D @_@ C++ D.C. Doin E.G. Goin Havin I.E. Lovin Ma'am Ma’am N.C. N.D. N.H. N.J. N.M.
N.Y. Nothin Nuthin O'clock O.O O.o O_O O_o Ol O’clock S.C. Somethin V.V V_V XD XDD \n \t ^_^ ^__^ ^___^ doin em
goin havin ll lovin ma'am ma’am nothin nuff nuthin o'clock o.0 o.o o_0 o_O o_o ol o’clock somethin v.v v_v xD
xDD ¯\(ツ)/¯ ಠ_ಠ ಠ︵ಠ
"""
"""One token each; the other rules would not cut them either, but for what is beside them."""

SIGNED: Final = r"""
' '' 'Cause 'Cos 'Coz 'Cuz 'S 'bout 'cause 'cos 'coz 'cuz 'd 'em 'll 'nuff 're 's (*_*) (-8 (-: (-; (-_-) (._.)
(: (; (= (>_<) (^_^) (o: (¬_¬) (ಠ_ಠ) (╯°□°）╯︵┻━┻ )-: ): ._. 8) 8-) 8-D :'( :') :'-( :'-) :( :(( :((( :() :) :))
:))) :* :-( :-(( :-((( :-) :-)) :-))) :-* :-/ :-0 :-3 :-> :-D :-O :-P :-X :-] :-o :-p :-x :-| :-} :/ :0 :1 :3 :>
:D :O :P :X :] :o :o) :p :x :| :} :’( :’) :’-( :’-) ;) ;-) ;-D ;D ;_; <.< </3 <3 <33 <333 <space> =( =) =/ =3 =D
=[ =] =| >.< >.> >:( >:o ><(((*> Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. Dec. Del.
Doin' Doin’ Dr. E.g. Feb. Fla. Ga. Gen. Goin' Goin’ Gov. Havin' Havin’ I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul.
Jun. Kan. Kans. Ky. La. Lovin' Lovin’ Ltd. Mar. Mass. Md. Messrs. Mich. Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt.
Neb. Nebr. Nev. Nothin' Nothin’ Nov. Nuthin' Nuthin’ Oct. Okla. Ol' Ol’ Ore. Pa. Ph.D. Prof. Rep. Rev. Sen. Sep.
Sept. Somethin' Somethin’ St. Tenn. Va. Wash. Wis. [-: [: [= \") ]= a. a.m. and/or b. c. co. d. doin' doin’ e.
e.g. f. g. goin' goin’ h. havin' havin’ i. i.e. j. k. l. lovin' lovin’ m. n. nothin' nothin’ nuthin' nuthin’ o.
o.O ol' ol’ p. p.m. q. r. s. somethin' somethin’ t. u. v. v.s. vs. w. w/o x. y. z. ä. ö. ü. — ‘S ‘s ’ ’Cause
’Cos ’Coz ’Cuz ’S ’bout ’cause ’cos ’coz ’cuz ’d ’em ’ll ’nuff ’re ’s ’’
"""
"""One token each, though the other rules would cut them; they are put together again when cut."""

CUT: Final = r"""
10|am 10|pm 11|am 11|pm 12|am 12|pm 1|am 1|pm 2|am 2|pm 3|am 3|pm 4|am 4|pm 5|am 5|pm 6|am 6|pm 7|am 7|pm 8|am
8|pm 9|am 9|pm Ai|n't Ai|nt Ai|n’t Are|n't Are|nt Are|n’t C'm|on Can|not Ca|n't Ca|n't|'ve Ca|nt Ca|nt|ve Ca|n’t
Ca|n’t|’ve Could|'ve Could|n't Could|n't|'ve Could|nt Could|nt|ve Could|n’t Could|n’t|’ve Could|ve Could|’ve
C’m|on Dare|n't Dare|nt Dare|n’t Did|n't Did|n't|'ve Did|nt Did|nt|ve Did|n’t Did|n’t|’ve Does|n't Does|n't|'ve
Does|nt Does|nt|ve Does|n’t Does|n’t|’ve Do|n't Do|n't|'ve Do|nt Do|nt|ve Do|n’t Do|n’t|’ve Gon|na Got|ta
Had|n't Had|n't|'ve Had|nt Had|nt|ve Had|n’t Had|n’t|’ve Has|n't Has|nt Has|n’t Have|n't Have|nt Have|n’t He|'d
He|'d|'ve He|'ll He|'ll|'ve He|d He|d|ve He|ll|ve He|s He|’d He|’d|’ve He|’ll He|’ll|’ve How|'d How|'d|'ve
How|'d|'y How|'ll How|'ll|'ve How|'re How|'ve How|d How|d|ve How|ll How|ll|ve How|re How|s How|ve How|’d
How|’d|’ve How|’d|’y How|’ll How|’ll|’ve How|’re How|’ve Is|n't Is|nt Is|n’t It|'d It|'d|'ve It|'ll It|'ll|'ve
It|d It|d|ve It|ll It|ll|ve It|’d It|’d|’ve It|’ll It|’ll|’ve I|'d I|'d|'ve I|'ll I|'ll|'ve I|'m I|'m|a I|'ve
I|d I|d|ve I|ll|ve I|m I|m|a I|ve I|’d I|’d|’ve I|’ll I|’ll|’ve I|’m I|’m|a I|’ve May|n't May|n't|'ve May|nt
May|nt|ve May|n’t May|n’t|’ve Might|'ve Might|n't Might|n't|'ve Might|nt Might|nt|ve Might|n’t Might|n’t|’ve
Might|ve Might|’ve Must|'ve Must|n't Must|n't|'ve Must|nt Must|nt|ve Must|n’t Must|n’t|’ve Must|ve Must|’ve
Need|n't Need|n't|'ve Need|nt Need|nt|ve Need|n’t Need|n’t|’ve Not|'ve Not|ve Not|’ve Ought|n't Ought|n't|'ve
Ought|nt Ought|nt|ve Ought|n’t Ought|n’t|’ve Sha|n't Sha|n't|'ve Sha|nt Sha|nt|ve Sha|n’t Sha|n’t|’ve She|'d
She|'d|'ve She|'ll She|'ll|'ve She|d|ve She|ll|ve She|s She|’d She|’d|’ve She|’ll She|’ll|’ve Should|'ve
Should|n't Should|n't|'ve Should|nt Should|nt|ve Should|n’t Should|n’t|’ve Should|ve Should|’ve That|'d
That|'d|'ve That|'ll That|'ll|'ve That|d That|d|ve That|ll That|ll|ve That|s That|’d That|’d|’ve That|’ll
That|’ll|’ve There|'d There|'d|'ve There|'ll There|'ll|'ve There|'re There|'ve There|d There|d|ve There|ll
There|ll|ve There|re There|s There|ve There|’d There|’d|’ve There|’ll There|’ll|’ve There|’re There|’ve These|'d
These|'d|'ve These|'ll These|'ll|'ve These|'re These|'ve These|d These|d|ve These|ll These|ll|ve These|re
These|ve These|’d These|’d|’ve These|’ll These|’ll|’ve These|’re These|’ve They|'d They|'d|'ve They|'ll
They|'ll|'ve They|'re They|'ve They|d They|d|ve They|ll They|ll|ve They|re They|ve They|’d They|’d|’ve They|’ll
They|’ll|’ve They|’re They|’ve This|'d This|'d|'ve This|'ll This|'ll|'ve This|d This|d|ve This|ll This|ll|ve
This|s This|’d This|’d|’ve This|’ll This|’ll|’ve Those|'d Those|'d|'ve Those|'ll Those|'ll|'ve Those|'re
Those|'ve Those|d Those|d|ve Those|ll Those|ll|ve Those|re Those|ve Those|’d Those|’d|’ve Those|’ll
Those|’ll|’ve Those|’re Those|’ve Was|n't Was|nt Was|n’t Were|n't Were|nt Were|n’t We|'d We|'d|'ve We|'ll
We|'ll|'ve We|'re We|'ve We|d We|d|ve We|ll|ve We|ve We|’d We|’d|’ve We|’ll We|’ll|’ve We|’re We|’ve What|'d
What|'d|'ve What|'ll What|'ll|'ve What|'re What|'ve What|d What|d|ve What|ll What|ll|ve What|re What|s What|ve
What|’d What|’d|’ve What|’ll What|’ll|’ve What|’re What|’ve When|'d When|'d|'ve When|'ll When|'ll|'ve When|'re
When|'ve When|d When|d|ve When|ll When|ll|ve When|re When|s When|ve When|’d When|’d|’ve When|’ll When|’ll|’ve
When|’re When|’ve Where|'d Where|'d|'ve Where|'ll Where|'ll|'ve Where|'re Where|'ve Where|d Where|d|ve Where|ll
Where|ll|ve Where|re Where|s Where|ve Where|’d Where|’d|’ve Where|’ll Where|’ll|’ve Where|’re Where|’ve Who|'d
Who|'d|'ve Who|'ll Who|'ll|'ve Who|'re Who|'ve Who|d Who|d|ve Who|ll Who|ll|ve Who|s Who|ve Who|’d Who|’d|’ve
Who|’ll Who|’ll|’ve Who|’re Who|’ve Why|'d Why|'d|'ve Why|'ll Why|'ll|'ve Why|'re Why|'ve Why|d Why|d|ve Why|ll
Why|ll|ve Why|re Why|s Why|ve Why|’d Why|’d|’ve Why|’ll Why|’ll|’ve Why|’re Why|’ve Would|'ve Would|n't
Would|n't|'ve Would|nt Would|nt|ve Would|n’t Would|n’t|’ve Would|ve Would|’ve Wo|n't Wo|n't|'ve Wo|nt Wo|nt|ve
Wo|n’t Wo|n’t|’ve You|'d You|'d|'ve You|'ll You|'ll|'ve You|'re You|'ve You|d You|d|ve You|ll You|ll|ve You|re
You|ve You|’d You|’d|’ve You|’ll You|’ll|’ve You|’re You|’ve ai|n't ai|nt ai|n’t are|n't are|nt are|n’t c'm|on
can|not ca|n't ca|n't|'ve ca|nt ca|nt|ve ca|n’t ca|n’t|’ve could|'ve could|n't could|n't|'ve could|nt
could|nt|ve could|n’t could|n’t|’ve could|ve could|’ve c’m|on dare|n't dare|nt dare|n’t did|n't did|n't|'ve
did|nt did|nt|ve did|n’t did|n’t|’ve does|n't does|n't|'ve does|nt does|nt|ve does|n’t does|n’t|’ve do|n't
do|n't|'ve do|nt do|nt|ve do|n’t do|n’t|’ve gon|na got|ta had|n't had|n't|'ve had|nt had|nt|ve had|n’t
had|n’t|’ve has|n't has|nt has|n’t have|n't have|nt have|n’t he|'d he|'d|'ve he|'ll he|'ll|'ve he|d he|d|ve
he|ll|ve he|s he|’d he|’d|’ve he|’ll he|’ll|’ve how|'d how|'d|'ve how|'d|'y how|'ll how|'ll|'ve how|'re how|'ve
how|d how|d|ve how|ll how|ll|ve how|re how|s how|ve how|’d how|’d|’ve how|’d|’y how|’ll how|’ll|’ve how|’re
how|’ve is|n't is|nt is|n’t it|'d it|'d|'ve it|'ll it|'ll|'ve it|d it|d|ve it|ll it|ll|ve it|’d it|’d|’ve it|’ll
it|’ll|’ve i|'d i|'d|'ve i|'ll i|'ll|'ve i|'m i|'m|a i|'ve i|d i|d|ve i|ll|ve i|m i|m|a i|ve i|’d i|’d|’ve i|’ll
i|’ll|’ve i|’m i|’m|a i|’ve may|n't may|n't|'ve may|nt may|nt|ve may|n’t may|n’t|’ve might|'ve might|n't
might|n't|'ve might|nt might|nt|ve might|n’t might|n’t|’ve might|ve might|’ve must|'ve must|n't must|n't|'ve
must|nt must|nt|ve must|n’t must|n’t|’ve must|ve must|’ve need|n't need|n't|'ve need|nt need|nt|ve need|n’t
need|n’t|’ve not|'ve not|ve not|’ve ought|n't ought|n't|'ve ought|nt ought|nt|ve ought|n’t ought|n’t|’ve sha|n't
sha|n't|'ve sha|nt sha|nt|ve sha|n’t sha|n’t|’ve she|'d she|'d|'ve she|'ll she|'ll|'ve she|d|ve she|ll|ve she|s
she|’d she|’d|’ve she|’ll she|’ll|’ve should|'ve should|n't should|n't|'ve should|nt should|nt|ve should|n’t
should|n’t|’ve should|ve should|’ve that|'d that|'d|'ve that|'ll that|'ll|'ve that|d that|d|ve that|ll
that|ll|ve that|s that|’d that|’d|’ve that|’ll that|’ll|’ve there|'d there|'d|'ve there|'ll there|'ll|'ve
there|'re there|'ve there|d there|d|ve there|ll there|ll|ve there|re there|s there|ve there|’d there|’d|’ve
there|’ll there|’ll|’ve there|’re there|’ve these|'d these|'d|'ve these|'ll these|'ll|'ve these|'re these|'ve
these|d these|d|ve these|ll these|ll|ve these|re these|ve these|’d these|’d|’ve these|’ll these|’ll|’ve
these|’re these|’ve they|'d they|'d|'ve they|'ll they|'ll|'ve they|'re they|'ve they|d they|d|ve they|ll
they|ll|ve they|re they|ve they|’d they|’d|’ve they|’ll they|’ll|’ve they|’re they|’ve this|'d this|'d|'ve
this|'ll this|'ll|'ve this|d this|d|ve this|ll this|ll|ve this|s this|’d this|’d|’ve this|’ll this|’ll|’ve
those|'d those|'d|'ve those|'ll those|'ll|'ve those|'re those|'ve those|d those|d|ve those|ll those|ll|ve
those|re those|ve those|’d those|’d|’ve those|’ll those|’ll|’ve those|’re those|’ve was|n't was|nt was|n’t
were|n't were|nt were|n’t we|'d we|'d|'ve we|'ll we|'ll|'ve we|'re we|'ve we|d we|d|ve we|ll|ve we|ve we|’d
we|’d|’ve we|’ll we|’ll|’ve we|’re we|’ve what|'d what|'d|'ve what|'ll what|'ll|'ve what|'re what|'ve what|d
what|d|ve what|ll what|ll|ve what|re what|s what|ve what|’d what|’d|’ve what|’ll what|’ll|’ve what|’re what|’ve
when|'d when|'d|'ve when|'ll when|'ll|'ve when|'re when|'ve when|d when|d|ve when|ll when|ll|ve when|re when|s
when|ve when|’d when|’d|’ve when|’ll when|’ll|’ve when|’re when|’ve where|'d where|'d|'ve where|'ll
where|'ll|'ve where|'re where|'ve where|d where|d|ve where|ll where|ll|ve where|re where|s where|ve where|’d
where|’d|’ve where|’ll where|’ll|’ve where|’re where|’ve who|'d who|'d|'ve who|'ll who|'ll|'ve who|'re who|'ve
who|d who|d|ve who|ll who|ll|ve who|s who|ve who|’d who|’d|’ve who|’ll who|’ll|’ve who|’re who|’ve why|'d
why|'d|'ve why|'ll why|'ll|'ve why|'re why|'ve why|d why|d|ve why|ll why|ll|ve why|re why|s why|ve why|’d
why|’d|’ve why|’ll why|’ll|’ve why|’re why|’ve would|'ve would|n't would|n't|'ve would|nt would|nt|ve would|n’t
would|n’t|’ve would|ve would|’ve wo|n't wo|n't|'ve wo|nt wo|nt|ve wo|n’t wo|n’t|’ve y'|all you|'d you|'d|'ve
you|'ll you|'ll|'ve you|'re you|'ve you|d you|d|ve you|ll you|ll|ve you|re you|ve you|’d you|’d|’ve you|’ll
you|’ll|’ve you|’re you|’ve y|all y’|all
"""
"""``|`` stands where a string is cut that the other rules would leave whole."""

SIGNED_CUT: Final = r"""
10|a.m. 10|p.m. 11|a.m. 11|p.m. 12|a.m. 12|p.m. 1|a.m. 1|p.m. 2|a.m. 2|p.m. 3|a.m. 3|p.m. 4|a.m. 4|p.m. 5|a.m.
5|p.m. 6|a.m. 6|p.m. 7|a.m. 7|p.m. 8|a.m. 8|p.m. 9|a.m. 9|p.m. He|'s He|’s How|'s How|’s It|'s It|’s Let|'s
Let|’s She|'s She|’s That|'s That|’s There|'s There|’s This|'s This|’s What|'s What|’s When|'s When|’s Where|'s
Where|’s Who|'s Who|’s Why|'s Why|’s he|'s he|’s how|'s how|’s it|'s it|’s let|'s let|’s she|'s she|’s that|'s
that|’s there|'s there|’s this|'s this|’s what|'s what|’s when|'s when|’s where|'s where|’s who|'s who|’s why|'s
why|’s °|C|. °|F|. °|K|. °|c|. °|f|. °|k|.
"""
"""``|`` stands where a string is cut that the other rules would cut elsewhere."""
